#!/bin/sh
# Test the cores on an emulated aarch64 processor (NEON), for machines that have none: sh tests/aarch64.sh [FOLDER] [CPU]
#
# FOLDER (default .aarch64) keeps a Debian and the packages, 0.5 GB, and compiled kernels; CPU (default neoverse-n1, which
# has dot products; cortex-a72 has not) is one that qemu knows. Needs qemu-user and mmdebstrap (Debian, Ubuntu), the
# network and, for everything compiled anew, about an hour. Tests that repeat products over and over are left
# out. What it says about speed means nothing.
set -eu
cd "$(dirname "$0")/.."
folder=$(mkdir -p "${1:-.aarch64}" && cd "${1:-.aarch64}" && pwd)
cpu=${2:-neoverse-n1}
root=$folder/debian site=$folder/site python=$folder/python3
pip=.venv/bin/pip

for tool in qemu-aarch64 mmdebstrap $pip; do
    command -v $tool > /dev/null || { echo "$tool is missing; install qemu-user and mmdebstrap, and run make setup" >&2; exit 2; }
done
if [ ! -d "$root" ]; then
    mmdebstrap --quiet --architectures=arm64 --variant=extract --skip=check/qemu \
        --include=python3.11-minimal,libpython3.11-stdlib,libc6,libstdc++6,libgcc-s1,zlib1g,libgomp1,libexpat1,libffi8 \
        bookworm "$root.part"
    # LLVM reads the processor's features here.
    mkdir -p "$root.part/proc"
    dots=$([ "$cpu" = cortex-a72 ] || echo asimddp)
    printf 'processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics cpuid asimdrdm %s\n' "$dots" > "$root.part/proc/cpuinfo"
    mv "$root.part" "$root"
fi
if [ ! -d "$site" ]; then
    wheels="$folder/wheels"
    $pip download --quiet -c constraints.txt --dest "$wheels" --only-binary=:all: --implementation cp --python-version 311 \
        --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
        numpy scipy numba threadpoolctl jaxtyping hypothesis pytest typing_extensions
    $pip install --quiet --no-index --no-deps --target "$site.part" --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 --only-binary=:all: --python-version 311 "$wheels"/*.whl
    mv "$site.part" "$site"
fi
cat > "$python" << END
#!/bin/sh
export PYTHONHOME=$root/usr PYTHONPATH=$site:$PWD NUMBA_CACHE_DIR=$folder/kernels-$cpu
exec qemu-aarch64 -0 $python -cpu $cpu -L $root $root/usr/bin/python3.11 "\$@"
END
chmod +x "$python"
"$python" -c 'from ntk1bit import cores; print("backends:", *cores.available_backends())'
failed=0
for file in tests/cores/test_*.py; do # a process each: an instruction that LLVM cannot make ends the whole process
    echo "$file"
    "$python" -m pytest -q -p no:cacheprovider --confcutdir=tests/cores -k "not repeats" "$file" || failed=1
done
exit $failed
