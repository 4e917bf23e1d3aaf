set -eu
# The compiler must be that of torch's CUDA: with another, the build fails after half an hour, or the module at import.
wanted=$(python -c 'import torch; print(torch.version.cuda or "none")')
found=$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
if [ "$wanted" != "$found" ]; then
    echo "envs/gpu.yaml: this torch was built with CUDA $wanted, and nvcc is $found: write cuda-nvcc=$wanted there" >&2
    exit 1
fi
# The build needs the torch of this environment, so pip must not make a fresh one for it.
pip install --no-build-isolation flash-attn==2.8.3.post2
