# A thin front. The build itself is CMake: cmake --workflow --preset ci | asan | tsan.

PORT   ?= 8080
SIZE   ?= 4096
PYTHON ?= /usr/bin/python3
TILTH   = build/release/tilth

.PHONY: all release demo demo-data test arm64 soak bench bench-forest lint format asan tsan fuzz coverage clean help
.NOTPARALLEL: # two of the steps may install packages; the builds below are parallel in themselves

all: release

help:
	@echo "make demo [PORT=8080] [SIZE=4096]  install, build, make the demo scene, serve the map"
	@echo "make test                          install, build and run every test"
	@echo "make arm64                         build for arm64 and run the tests that qemu can run"
	@echo "make soak                          the tests that take minutes: every float32 there is"
	@echo "make bench                         measure against the peers, bench/results/latest.json"
	@echo "make bench-forest                  the forests against the libraries, bench/results/forest.json"
	@echo "make lint | format | asan | tsan | fuzz | coverage"
	@echo "make clean                         remove the builds and the demo scene"

release: build/release/build.ninja
	@cmake --build build/release

build/release/build.ninja: CMakeLists.txt CMakePresets.json cmake/TilthModule.cmake
	@tools/install_packages.sh build
	@cmake --preset release >/dev/null

demo/.made-$(SIZE): $(wildcard tools/make_demo.py tools/demo_*.py) tools/scene_statistics.json models/crop-mask-south-eastern.tilth
	@tools/install_packages.sh demo
	@mkdir -p demo && rm -f demo/.made-*
	$(PYTHON) tools/make_demo.py --size $(SIZE) --out demo
	@touch $@

build/viewer/index.html: $(wildcard web/viewer/*) tools/bundle_viewer.py
	@tools/install_packages.sh demo
	@$(PYTHON) tools/bundle_viewer.py --out build/viewer

demo-data: demo/.made-$(SIZE)

demo: release demo-data build/viewer/index.html
	@echo "tilth: the map is at http://127.0.0.1:$(PORT)/viewer"
	@exec $(TILTH) serve --listen 127.0.0.1:$(PORT) --layers-dir demo/layers --styles-dir styles \
	    --cache-dir demo/cache --viewer-dir build/viewer --access-log demo/access.log

test:
	@tools/install_packages.sh build demo test
	@cmake --preset ci >/dev/null
	@cmake --build --preset ci
	@status=0; TILTH_MINIO="$$(tools/install_minio.sh)" TILTH_LIBRARIES="$$(tools/install_libraries.sh)" \
	    ctest --preset ci || status=$$?; \
	    tools/test_arm64.sh || [ $$? = 77 ] || status=1; \
	    tools/list_skipped.sh build/ci; exit $$status

arm64:
	@tools/test_arm64.sh

soak:
	@tools/install_packages.sh build test
	@cmake --preset ci >/dev/null
	@cmake --build --preset ci --target test_feature_vector_math
	@TILTH_SOAK=1 build/ci/test_feature_vector_math

bench:
	@tools/install_packages.sh build demo test
	@bench/run.sh

bench-forest:
	@bench/forest/run.sh

lint:
	@tools/install_packages.sh build demo test lint
	@tools/lint.sh

format:
	@git ls-files '*.[ch]' '*.def' | grep '\.[ch]$$' | xargs clang-format-14 -i

asan tsan:
	@tools/install_packages.sh build demo test lint
	@cmake --preset $@ >/dev/null
	@cmake --build --preset $@
	@ctest --preset $@

# A minute for each target; FUZZ_SECONDS= for longer campaigns.
FUZZ_SECONDS ?= 60
fuzz:
	@tools/install_packages.sh build lint
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz
	@for f in build/fuzz/fuzz_*; do \
	    [ -x $$f ] || continue; name=$${f##*/fuzz_}; mkdir -p build/fuzz/corpus/$$name; \
	    echo "== $$name"; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
	        build/fuzz/corpus/$$name $$(ls -d tests/fuzz/corpus/$$name 2>/dev/null) || exit 1; \
	done

coverage:
	@tools/install_packages.sh build demo test
	@cmake --preset coverage >/dev/null
	@cmake --build --preset coverage
	@ctest --preset coverage
	@gcovr --root . --filter src/ --object-directory build/coverage --print-summary

clean:
	rm -rf build demo
