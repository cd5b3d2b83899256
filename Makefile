# A thin front to CMake.
#   make sweep    set up, build, and sweep a demo catalogue  [MANIFEST=pool.tsv ROOT=/pool OUT=sweeps/x NP=1
#                 CONFIG=file.ini ARGS="--limit 100"]
#   make test     set up, build, and run every test
#   make build    build/eyesore
#   make test-cuda-all  the slow proofs of the CUDA engine: every device, network and fault [PARTS=plans|parity|faults|seeds]
#   make test-faults  every fault, at length: kills (200 runs, about 40 minutes), the virtual Slurm cluster (12), each call
#                 failing in turn (2 hours), the soak (10)  [FAULTS="kills slurm calls soak"]
#   make test-fuzz  strangers' bytes, at length: each fuzz target for SECONDS=1800, 100,000 mutated pictures
#   make asan     every test under AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan     those that have threads under ThreadSanitizer (all: ctest --test-dir build-tsan)
#   make format   clang-format;  make lint  clang-format, cppcheck, clang-tidy, shellcheck;  make clean

JOBS ?= $(shell nproc)
CTEST_FLAGS ?=
export MANIFEST ROOT OUT NP CONFIG ARGS

PARTS ?=
SECONDS ?= 1800
FAULTS ?= kills slurm calls soak

.PHONY: build sweep test test-cuda-all test-faults test-fuzz asan tsan format lint clean

build:
	@scripts/setup.sh build test slurm
	@cmake --preset release
	@cmake --build --preset release -j $(JOBS)

sweep:
	@scripts/setup.sh build test demo
	@cmake --preset release
	@cmake --build --preset release -j $(JOBS) --target eyesore
	@scripts/demo.sh

test: build
	@scripts/venv.sh
	ctest --test-dir build --no-tests=error --output-on-failure $(CTEST_FLAGS)

test-cuda-all: build
	@tests/cuda/all.sh build $(PARTS)

test-faults: build
	@tests/faults.sh $(FAULTS)

test-fuzz: build
	@scripts/setup.sh fuzz
	@tests/fuzz/all.sh $(SECONDS)

asan tsan:
	@scripts/setup.sh build test
	@cmake --preset $@
	@cmake --build --preset $@ -j $(JOBS)
	ctest --preset $@ --no-tests=error --output-on-failure $(CTEST_FLAGS)

format:
	@scripts/setup.sh lint
	@git ls-files -z '*.c' '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 clang-format -i

lint: build
	@scripts/setup.sh lint
	@scripts/lint.sh

clean:
	rm -rf build build-asan build-tsan build-fuzz build-on-device
