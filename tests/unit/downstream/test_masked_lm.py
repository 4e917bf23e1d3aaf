"""A batch of prompts under many head sets is answered as each prompt alone, masked from its last token on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from masked_responses import generated
from tiny_models import loaded, tokenizer
from tokenizers import Regex, pre_tokenizers

from retrieval_heads.downstream.lm.masked import MaskedLM, PromptError
from retrieval_heads.downstream.responses import Question, ask, windows
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import HeadMask, masked

# Full attention, sliding windows with a soft cap, sinks, recurrent layers, latent attention.
FAMILIES = ("llama", "gemma2", "gpt_oss", "qwen3_next", "jamba", "deepseek_v3")
NEW = 6


def model(family: str) -> MaskedLM:
    """A tiny model whose tokenizer reads text."""
    words = tokenizer()
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(" w[0-9]+"), "isolated")
    return MaskedLM(replace(loaded(family), tokenizer=words))


def ids(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(2, 90, (length,), generator=generator).tolist() for length in lengths]


def text(tokens: list[int]) -> str:
    return "".join(f" w{token}" for token in tokens)


def masks(lm: MaskedLM) -> dict[str, HeadMask]:
    first, last = lm.loaded.info.attention_layers[0], lm.loaded.info.attention_layers[-1]
    return {
        "unmasked": HeadMask(()),
        "decode": HeadMask(((first, 0), (last, 1), (last, 2))),
        "all": HeadMask(((first, 0), (last, 1), (last, 2)), scope="all"),
        "uniform": HeadMask(((first, 0),), mode="zero_query"),
    }


def by_hand(lm: MaskedLM, prompt: list[int], following: list[int] | None, mask: HeadMask) -> tuple[list[int], float]:
    """One row, token by token, no harness and no padding: greedy tokens, or the likelihood of what follows."""
    before = mask if mask.scope == "all" else HeadMask(())
    cache, likely, emitted = None, 0.0, []
    feed, under = prompt[:-1], before
    for step in range(NEW if following is None else len(following) + 1):
        if feed:
            with masked(lm.loaded, replace(under, scope="all")), torch.inference_mode():
                output = lm.loaded.model(torch.tensor([feed]), past_key_values=cache, use_cache=True)
            cache, logits = output.past_key_values, output.logits[0, -1].float().log_softmax(-1)
        if step == 0:
            feed, under = prompt[-1:], mask
            continue
        token = int(logits.argmax()) if following is None else following[step - 1]
        emitted.append(token)
        likely += float(logits[token])
        feed = [token]
    return emitted, likely


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_answers_as_each_prompt_alone(family):
    lm = model(family)
    prompts = ids(7, 20, 12)
    found = generated(lm, [text(prompt) for prompt in prompts], masks(lm), until=[], max_new_tokens=NEW - 1)
    for name, mask in masks(lm).items():
        for prompt, response in zip(prompts, found[name], strict=True):
            expected = by_hand(lm, prompt, None, mask)[0]
            stop = expected.index(96) if 96 in expected else len(expected)
            assert lm.lm.tok_encode(response.text) == expected[:stop]
            assert response.tokens == stop
            assert response.cut == (96 not in expected)
    assert found["decode"] != found["unmasked"]


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_of_a_batch_are_those_of_each_alone(family):
    lm = model(family)
    pairs = list(zip(ids(7, 20, 12, 1), ids(1, 3, 2, 4), strict=True))
    found = lm.loglikelihoods(pairs, masks(lm))
    for name, mask in masks(lm).items():
        expected = [by_hand(lm, prompt, following, mask)[1] for prompt, following in pairs]
        assert [row[0] for row in found[name]] == pytest.approx(expected, abs=2e-3)
    plain = [row[0] for row in found["unmasked"]]
    harness = lm.lm._loglikelihood_tokens([(("", ""), *pair) for pair in pairs], disable_tqdm=True)
    assert plain == pytest.approx([row[0] for row in harness], abs=2e-3)
    assert [row[1] for row in found["unmasked"]] == [row[1] for row in harness]
    assert all(abs(a - b) > 1e-3 for a, (b, _) in zip(plain, found["decode"], strict=True))


def test_greedy_continuations_are_known_as_such():
    lm = model("llama")
    prompt = ids(9)[0]
    greedy = by_hand(lm, prompt, None, HeadMask(()))[0][:3]
    wrong = [*greedy[:2], (greedy[2] + 1) % 90]
    found = lm.loglikelihoods([(prompt, greedy), (prompt, wrong)], {"unmasked": HeadMask(())})
    assert [row[1] for row in found["unmasked"]] == [True, False]


def test_mean_output_takes_the_calibrated_means():
    lm = model("llama")
    mask = {"mean": HeadMask(((1, 0),), mode="mean_output"), "zero": HeadMask(((1, 0),))}
    lm = MaskedLM(lm.loaded, calibrate_means(lm.loaded, ids(30)))
    found = lm.loglikelihoods([(ids(9)[0], [5])], mask)
    assert abs(found["mean"][0][0] - found["zero"][0][0]) > 1e-3


def test_a_response_ends_at_its_stop_string_and_says_whether_it_was_cut():
    lm = model("llama")
    prompt = ids(9)[0]
    expected = by_hand(lm, prompt, None, HeadMask(()))[0]
    stop = f" w{expected[2]}"
    plain = {"unmasked": HeadMask(())}
    ended = generated(lm, [text(prompt)], plain, until=[stop], max_new_tokens=5)["unmasked"][0]
    assert (ended.text, ended.tokens, ended.cut) == (text(expected[:2]), 2, False)
    cut = generated(lm, [text(prompt)], plain, until=[], max_new_tokens=2)["unmasked"][0]
    assert (cut.text, cut.tokens, cut.cut) == (text(expected[:2]), 2, True)


def test_a_prompt_beyond_the_window_is_refused_before_anything_runs():
    lm = model("llama")
    with pytest.raises(
        PromptError, match=r"a prompt of 510 tokens and 5 new ones are beyond the window of 512; lower d"
    ):
        generated(lm, [text(ids(510)[0])], masks(lm), until=[], max_new_tokens=5)


def test_questions_come_back_under_their_own_names_whatever_the_batch():
    lm = model("llama")
    options = {"until": [], "do_sample": False, "max_gen_toks": 3}
    asked = [Question(f"q{n}", "generate_until", ((text(row), options),)) for n, row in enumerate(ids(5, 9, 7, 12, 6))]
    choices = (" w5", " w6 w7", " w8")
    weighed = [
        Question(f"q{n}", "loglikelihood", tuple((text(row), choice) for choice in choices))
        for n, row in enumerate(ids(5, 9, 7))
    ]
    for questions in (asked, weighed):
        alone = {q.item: responses for q in questions for _, responses in ask(lm, [q], masks(lm), 1)}
        together = {q.item: responses for q, responses in ask(lm, questions, masks(lm), 2)}
        assert set(alone) == set(together)
        for item, responses in together.items():
            for name, response in responses.items():
                likely = response.pop("loglikelihood", [])
                assert likely == pytest.approx(alone[item][name].pop("loglikelihood", []), abs=2e-3)
                assert response == alone[item][name]


def test_a_question_is_kept_as_soon_as_it_is_done_and_its_rows_make_room():
    lm = model("llama")
    options = {"until": [], "do_sample": False, "max_gen_toks": 12}
    asked = [Question(f"q{n}", "generate_until", ((text(row), options),)) for n, row in enumerate(ids(9, 8, 7, 6))]
    under = {str(n): HeadMask(((n % 2, n % 4),)) for n in range(6)}
    through = []
    for _, responses in ask(lm, asked, under, 2):
        through.append(lm.tokens)
        assert set(responses) == set(under)
    assert len(through) == 4 and through == sorted(set(through)), "the first before the last has begun"


def test_out_of_memory_the_rest_goes_on_with_half_the_questions(caplog):
    lm = model("llama")
    options = {"until": [], "do_sample": False, "max_gen_toks": 5}
    asked = [Question(f"q{n}", "generate_until", ((text(row), options),)) for n, row in enumerate(ids(9, 8, 7, 6, 5))]
    expected = {question.item: responses for question, responses in ask(lm, asked, masks(lm), 4)}
    calls = []

    def fail(module, args, options):
        calls.append(args or options)
        if len(calls) == 12:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    handle = lm.loaded.model.base_model.register_forward_pre_hook(fail, with_kwargs=True)
    found = [(question.item, responses) for question, responses in ask(lm, asked, masks(lm), 4)]
    handle.remove()
    assert len(found) == 5 and dict(found) == expected
    assert "Memory ran out with 4 questions side by side" in caplog.text and "it goes on with 2" in caplog.text


def test_a_text_is_weighed_once_in_windows_after_the_first_token():
    lm = model("llama")
    tokens = ids(1200)[0]
    pairs = windows(lm, text(tokens))
    assert [token for _, continuation in pairs for token in continuation] == tokens
    assert all(len(context) == 1 for context, _ in pairs)
    assert len(windows(lm, text(tokens), 100)) == 1
    rolling = Question("q", "loglikelihood_rolling", ((text(tokens),),))
    [(_, responses)] = ask(lm, [rolling], {"unmasked": HeadMask(())}, 4)
    alone = sum(lm.loglikelihoods([pair], {"u": HeadMask(())})["u"][0][0] for pair in pairs)
    assert responses["unmasked"]["loglikelihood"] == [pytest.approx(alone)]
