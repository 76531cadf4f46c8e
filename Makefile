# moonsocket: `make help` lists the targets. Each does its own set-up.

LUA       = $(shell command -v lua5.4 || command -v lua)
LUAROCKS  = $(shell command -v luarocks || command -v luarocks-5.4) --lua-version 5.4
LUA_FLAGS = $(eval LUA_FLAGS := -I$$(shell $$(LUAROCKS) config variables.LUA_INCDIR))$(LUA_FLAGS)
CLANG    ?= clang
ROCKSPEC  = moonsocket-scm-1.rockspec
TREE      = $(CURDIR)/lua_modules

# Every script below runs against what was installed into ./lua_modules.
export LUA
export PATH := $(TREE)/bin:$(PATH)
export LUA_PATH  = $(TREE)/share/lua/5.4/?.lua;$(TREE)/share/lua/5.4/?/init.lua;;
export LUA_CPATH = $(TREE)/lib/lua/5.4/?.so;$(CURDIR)/build/spec/?.so;;
unexport LUA_PATH_5_4 LUA_CPATH_5_4

SOURCES  := $(sort $(wildcard src/*/*.c))
HEADERS  := $(wildcard src/*.h src/*/*.h)
MODULES  := $(shell find lua -name '*.lua')
ALL      := $(SOURCES) $(wildcard spec/*/*.c bench/load/*.c bench/peers/c/*.c)
CORE     := $(filter-out src/binding/%,$(SOURCES))
SUPPORT  := $(patsubst spec/support/%.c,build/spec/%.so,$(sort $(wildcard spec/support/*.c)))
UNITS    := $(patsubst spec/core/%.c,build/unit/%,$(sort $(wildcard spec/core/*_test.c)))
FUZZERS  := $(patsubst spec/fuzz/%.c,%,$(sort $(wildcard spec/fuzz/*_fuzz.c)))

CFLAGS   ?= -O2 -g
SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WARNINGS  = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
C_FLAGS   = -std=gnu11 -Isrc -MMD -MP
LIBRARIES = -lwslay -levent_extra -levent_core -lssl -lcrypto -lz

MAKEFLAGS += --no-builtin-rules
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell getconf _NPROCESSORS_ONLN)
endif

.PHONY: build help demo demo-server test test-core closing fuzz conformance interop deployment browser chaos streaming valgrind sanitize warnings bench rock clean
.DELETE_ON_ERROR:
.SECONDARY:

build: $(TREE)/.installed ## build and install into ./lua_modules (the default)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## */\1 /p' $(MAKEFILE_LIST) | awk '{ name = $$1; $$1 = ""; printf "  make %-12s%s\n", name, $$0 }'

demo: build need-demo ## real clients come and go; prints how each connection ended
	@$(LUA) examples/demo/demo.lua

demo-server: build ## the demo's server alone, for a browser or any client
	@$(LUA) examples/demo/server.lua

test: build test-core $(SUPPORT) need-test ## everything a change must pass
	@tools/test.sh $(UNITS) $(FUZZERS:%=build/unit/%)

test-core: $(UNITS) $(FUZZERS:%=build/unit/%) ## build the C unit tests, with the sanitizers on

closing: build/closing/closing_explore ## explore the closing state machine exhaustively
	$< $(ARGS)

fuzz: $(FUZZERS:%=build/fuzz/%) ## random input for every parser, with clang's libFuzzer; TIME=60 seconds for each
	@tools/fuzz.sh $(or $(TIME),60) $^

conformance: build need-conformance ## Autobahn's cases, for a server and for a client; LARGE=1 for the slow ones, too
	@tools/conformance.sh $(if $(LARGE),--large)

interop: build build/spec/raw.so need-test need-interop ## against python's websockets and Node's ws, in both roles, and through real proxies
	@tools/interop.sh

deployment: build build/spec/raw.so build/spec/secure.so need-test need-deployment ## the files of examples/deployment, with real proxies
	@tools/specs.sh $(or $(ARGS),$(wildcard spec/deployment/*.lua))

browser: build need-browser ## pages in a headless Chromium, whose ends of their WebSockets are compared with the server's
	@tools/browser.sh

chaos: build need-test ## 5,000 random short connections, in both roles, over TCP and TLS; SEED=N repeats a run
	@python3 spec/chaos/chaos.py $(if $(SEED),--seed $(SEED)) $(ARGS)

streaming: build ## a message of 2 GiB, there and back, plain and compressed: each end has less than 20 MiB of memory
	@$(LUA) spec/streaming/large.lua 2048
	@$(LUA) spec/streaming/large.lua 2048 compressed

valgrind: build $(SUPPORT) need-test need-valgrind ## the specs under memcheck; ARGS=spec/... for some of them
	@tools/valgrind.sh $(ARGS)

sanitize: build/sanitize/moonsocket/core.so build $(SUPPORT) need-test ## the specs with the module under ASan and UBSan
	@tools/sanitize.sh $(ARGS)

warnings: $(foreach compiler,gcc clang,$(ALL:%.c=build/warnings/$(compiler)/%.o)) ## gcc and clang, warnings are errors

bench: build need-bench build/bench/load ## this and other WebSocket servers: CPU, system calls, memory; ARGS=--quick or --help
	@tools/bootstrap.sh peers || echo "some peers will be missing" >&2
	@python3 bench/run.py $(ARGS) build/bench/load

rock: need-build ## pack the .src.rock, install it into a tree of its own and load it
	@tools/rock.sh

clean: ## forget everything that was built
	rm -rf build lua_modules moonsocket
	find src -name '*.o' -delete

# Installs what the named set of tools/bootstrap.sh lacks; quick when nothing does.
need-%:
	@tools/bootstrap.sh $*

# One after the other: package managers do not share.
need-demo need-test need-conformance need-warnings need-bench need-fuzz need-browser: | need-build
need-interop need-deployment: | need-test
need-valgrind: | need-test

$(TREE)/.installed: $(ROCKSPEC) $(SOURCES) $(HEADERS) $(MODULES) | need-build
	@echo "building and installing into ./lua_modules"
	@mkdir -p build
	@$(LUAROCKS) make --tree $(TREE) $(ROCKSPEC) CFLAGS="$(CFLAGS) -fPIC" >build/build.log 2>&1 || \
		{ cat build/build.log; exit 1; }
	@touch $@

# The same rules for every purpose: build/PURPOSE/src/x.o from src/x.c, with the purpose's compiler and flags, and
# build/PURPOSE/core.a, all of it that knows no Lua, for what tests it alone.
define compile
build/$(1)/%.o: %.c | need-build $(4)
	@mkdir -p $$(@D)
	@echo "$(1): $$<"
	@$(2) $$(C_FLAGS) $(3) -c -o $$@ $$<

build/$(1)/core.a: $(CORE:%.c=build/$(1)/%.o)
	@rm -f $$@
	@$$(AR) rcs $$@ $$^
endef
$(eval $(call compile,unit,$$(CC),-O1 -g $$(SANITIZE)))
$(eval $(call compile,fuzz,$$(CLANG),-O1 -g $$(SANITIZE) -fsanitize=fuzzer-no-link,need-fuzz))
$(eval $(call compile,closing,$$(CC),-O2))
$(eval $(call compile,spec,$$(CC),-O1 -g -fPIC $$(WARNINGS) $$(LUA_FLAGS)))
$(eval $(call compile,bench,$$(CC),-O2 $$(WARNINGS)))
$(eval $(call compile,sanitize,$$(CC),-O1 -g -fPIC $$(SANITIZE) $$(LUA_FLAGS)))
$(eval $(call compile,warnings/gcc,gcc,-O2 $$(WARNINGS) $$(LUA_FLAGS)))
$(eval $(call compile,warnings/clang,$$(CLANG),-O2 $$(WARNINGS) $$(LUA_FLAGS),need-warnings))

build/unit/%_test: build/unit/spec/core/%_test.o build/unit/core.a
	@$(CC) $(SANITIZE) -o $@ $^ $(LIBRARIES)

# Without libFuzzer, on the seeds and on blind mutations of them.
build/unit/%_fuzz: build/unit/spec/fuzz/%_fuzz.o build/unit/spec/fuzz/driver.o build/unit/core.a
	@$(CC) $(SANITIZE) -o $@ $^ $(LIBRARIES)

build/fuzz/%_fuzz: build/fuzz/spec/fuzz/%_fuzz.o build/fuzz/core.a
	@$(CLANG) $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(LIBRARIES)

build/closing/%_explore: build/closing/spec/core/%_explore.o build/closing/core.a
	@$(CC) -o $@ $^ $(LIBRARIES)

build/sanitize/moonsocket/core.so: $(SOURCES:%.c=build/sanitize/%.o)
	@mkdir -p $(@D)
	@$(CC) -shared $(SANITIZE) -o $@ $^ $(LIBRARIES)

# What the specs need and Lua cannot do.
build/spec/%.so: build/spec/spec/support/%.o
	@$(CC) -shared -pthread -o $@ $< -lssl -lcrypto -lz

build/bench/load: $(patsubst %.c,build/bench/%.o,$(wildcard bench/load/*.c))
	@$(CC) -o $@ $^ -lssl -lcrypto -lz

-include $(shell find build -name '*.d' 2>/dev/null)
