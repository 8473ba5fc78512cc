# presenced: `make help` lists the targets.
#
# Modes, each with a build folder of its own:
#   make                           build/release
#   make DEBUG=1                   build/debug      assertions that cost time (PRESENCED_DEBUG)
#   make SAN=address,undefined     build/asan       the same, with AddressSanitizer and UBSan
#   make SAN=thread                build/tsan       the same, with ThreadSanitizer
#   make CC=clang                  build/release-clang, and so on
# WERROR=1 (or CI=true) makes warnings errors; V=1 shows the commands.

VERSION := 0.1.0

# ---- packages: what a bare Debian 12 with git, make and ca-certificates lacks -------------------

PACKAGES_BUILD := gcc libc6-dev pkgconf libjansson-dev libmicrohttpd-dev libxxhash-dev \
	libwslay-dev libhttp-parser-dev libssl-dev libcjose-dev libcurl4-openssl-dev libsqlite3-dev
# npm and node-websocket go with Debian's Node.js only. Another one, where it is installed, brings its
# own npm, and tests/support/node.py unpacks node-websocket for it.
PACKAGES_NODE := nodejs node-ws node-faye-websocket node-debug node-es5-ext node-typedarray-to-buffer \
	node-typescript \
	$(if $(shell dpkg-query -W -f '$${Version}' nodejs 2>/dev/null | grep -v dfsg),,npm node-websocket)
PACKAGES_TEST := $(PACKAGES_BUILD) clang clang-format libclang-rt-14-dev libcmocka-dev python3 \
	python3-pytest python3-pytest-xdist iproute2 nftables procps libfaketime util-linux mandoc \
	sqlite3 strace valgrind openssl libuv1-dev python3-cryptography python3-websockets haproxy chromium prometheus \
	systemd shellcheck python3-yaml \
	$(PACKAGES_NODE)
PACKAGES_BENCH := $(PACKAGES_BUILD) python3 python3-pytest openssl mosquitto redis-server memcached
PACKAGES_DEMO := $(PACKAGES_BUILD) python3 iproute2 nftables

# ---- mode ---------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
DEBUG ?=

ifneq ($(findstring fuzzer,$(SAN)),)
MODE := fuzz
else ifneq ($(findstring thread,$(SAN)),)
MODE := tsan
else ifneq ($(SAN),)
MODE := asan
else ifneq ($(DEBUG),)
MODE := debug
else
MODE := release
endif

BUILD := build/$(MODE)$(addprefix -,$(filter-out gcc cc,$(notdir $(lastword $(CC)))))

# As many jobs as there are processors; a -j on the command line goes before this, and a make that
# another one started shares that one's jobs.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules

# ---- flags --------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
	-Wundef -Wformat=2
WARNINGS_CLANG := -Wthread-safety
STANDARD := -std=c11 -D_GNU_SOURCE -Isrc -Iinclude -Itests/unit -DPRESENCED_VERSION=\"$(VERSION)\"

ifeq ($(MODE),release)
MODE_CFLAGS := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
MODE_LDFLAGS := -pie -Wl,-z,relro,-z,now
else
MODE_CFLAGS := -O1 -g -fno-omit-frame-pointer -DPRESENCED_DEBUG
MODE_LDFLAGS :=
endif
ifneq ($(SAN),)
SAN_FLAGS := -fsanitize=$(SAN) $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=all)
endif
ifneq ($(filter true 1,$(CI) $(WERROR)),)
WERROR_FLAG := -Werror
endif

# pkg-config is asked for what the packages were found to need; they may not be installed yet.
LIBRARIES := jansson libmicrohttpd libxxhash libssl libcrypto cjose sqlite3
LIBRARIES_CFLAGS := $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)
LIBRARIES_LDLIBS := $(or $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null), \
	-ljansson -lmicrohttpd -lxxhash -lssl -lcrypto -lcjose -lsqlite3)

ALL_CFLAGS = $(STANDARD) $(WARNINGS) $(if $(findstring clang,$(CC)),$(WARNINGS_CLANG)) \
	$(WERROR_FLAG) $(MODE_CFLAGS) $(SAN_FLAGS) $(LIBRARIES_CFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(MODE_LDFLAGS) $(SAN_FLAGS) $(LDFLAGS)
ALL_LDLIBS = $(LIBRARIES_LDLIBS) -lwslay -lhttp_parser -lpthread $(LDLIBS)

# ---- sources ------------------------------------------------------------------------------------

ROOMS := base wire presence net auth feed server admin store app
CORE_SOURCES := $(wildcard $(ROOMS:%=src/%/*.c))
CORE_OBJECTS := $(CORE_SOURCES:%.c=$(BUILD)/%.o)

# presencectl: all but its main, so that the unit tests have it too.
CLI_SOURCES := $(filter-out src/cli/main.c,$(wildcard src/cli/*.c))
CLI_OBJECTS := $(CLI_SOURCES:%.c=$(BUILD)/%.o)

UNIT_SOURCES := $(wildcard tests/unit/test_*.c)
UNIT_SUPPORT := $(wildcard tests/unit/support/*.c)
TORTURE_SOURCES := $(wildcard tests/torture/*.c)
TORTURE_SUPPORT := $(wildcard tests/torture/support/*.c)
BENCH_SOURCES := $(wildcard tests/bench/bench_*.c)
BENCH_SUPPORT := $(filter-out $(BENCH_SOURCES),$(wildcard tests/bench/*.c))
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)

UNIT := $(UNIT_SOURCES:%.c=$(BUILD)/%)
TORTURE := $(TORTURE_SOURCES:%.c=$(BUILD)/%)
BENCH := $(BENCH_SOURCES:%.c=$(BUILD)/%)
FUZZ_REPLAY := $(FUZZ_SOURCES:%.c=$(BUILD)/%)
FUZZERS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/fuzzers/%)

# Refused allocations: the calls of our code, not those of the libraries, go through the tests' hook.
WRAPPED := malloc calloc realloc aligned_alloc posix_memalign strdup strndup
UNIT_LDFLAGS := $(WRAPPED:%=-Wl,--wrap=%)

# How a recipe begins that says in a word what it does.
say = @$(if $(V),set -x;,printf '  %-7s %s\n' $(1) $@;)

# ---- the program --------------------------------------------------------------------------------

.DEFAULT_GOAL := all
.PHONY: all
all: $(BUILD)/presenced $(BUILD)/presencectl

$(BUILD)/presenced: $(BUILD)/src/main.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(BUILD)/libcore.a: $(CORE_OBJECTS) $(BUILD)/sources
	$(call say,AR) rm -f $@; ar rcs $@ $(CORE_OBJECTS)

$(BUILD)/libcli.a: $(CLI_OBJECTS) $(BUILD)/cli-sources
	$(call say,AR) rm -f $@; ar rcs $@ $(CLI_OBJECTS)

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(call say,CC) mkdir -p $(@D); $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The dashboard's files lie in the program.
PAGE_FILES := $(wildcard src/admin/page/*.* src/admin/page/vendor/* src/admin/page/demo/*) \
	src/client/js/presence.js
$(BUILD)/src/admin/page.o: $(PAGE_FILES)

# The same server, but that its WebSockets answer each message with itself: for conformance tools. The
# object stands before the archive, whose own of that name is then not taken.
.PHONY: echo
echo: $(BUILD)/echo/presenced
$(BUILD)/echo/presenced: $(BUILD)/src/main.o $(BUILD)/echo/frames.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)
$(BUILD)/echo/frames.o: src/server/frames.c $(BUILD)/flags
	$(call say,CC) mkdir -p $(@D); $(CC) $(ALL_CFLAGS) -DPRESENCED_WEBSOCKET_ECHO -MMD -MP -c -o $@ $<

# Written only when they differ: what was built with other flags is stale then, and the archive has to
# forget a source that was removed.
record = @mkdir -p $(@D); \
	printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@
$(BUILD)/flags: always
	$(call record,$(CC) | $(ALL_CFLAGS) | $(ALL_LDFLAGS) | $(ALL_LDLIBS))
$(BUILD)/sources: always
	$(call record,$(CORE_SOURCES) $(CLIENT_SOURCES))
$(BUILD)/cli-sources: always
	$(call record,$(CLI_SOURCES))
.PHONY: always

# Kept between runs, also those that make would call intermediate.
.SECONDARY:
-include $(shell test -d $(BUILD) && find $(BUILD) -name '*.d')

# ---- libpresence: the client library ------------------------------------------------------------
#
# Shared and static, from the same objects. Of both only presence_* is to be seen: in the static one, too, what is
# hidden becomes local, so that its names are in nobody's way.

LIBPRESENCE_MAP := src/client/c/libpresence.map
LIBPRESENCE_SONAME := libpresence.so.0
CLIENT_SOURCES := $(wildcard src/client/c/*.c)
LIBPRESENCE_SOURCES := $(CLIENT_SOURCES) \
	$(patsubst %,src/base/%.c,address buffer ensure hash json_read json_text map terms) \
	$(patsubst %,src/wire/%.c,ndjson upgrade_client utf8 websocket)
LIBPRESENCE_OBJECTS := $(LIBPRESENCE_SOURCES:%.c=$(BUILD)/pic/%.o)
LIBPRESENCE_LDLIBS := -lwslay -lhttp_parser -lssl -lcrypto
CLIENT_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/clients/*.c))
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard etc/examples/*.c))

.PHONY: libpresence build-clients
libpresence: $(BUILD)/libpresence.so $(BUILD)/libpresence.a
build-clients: libpresence $(CLIENT_PROGRAMS) $(EXAMPLES)

$(BUILD)/pic/%.o: %.c $(BUILD)/flags
	$(call say,CC) mkdir -p $(@D); $(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(BUILD)/$(LIBPRESENCE_SONAME): $(LIBPRESENCE_OBJECTS) $(LIBPRESENCE_MAP) $(BUILD)/sources
	$(call say,LINK) $(CC) $(filter-out -pie,$(ALL_LDFLAGS)) -shared -Wl,-soname,$(LIBPRESENCE_SONAME) \
		-Wl,--version-script,$(LIBPRESENCE_MAP) -o $@ $(LIBPRESENCE_OBJECTS) $(LIBPRESENCE_LDLIBS)
$(BUILD)/libpresence.so: $(BUILD)/$(LIBPRESENCE_SONAME)
	$(call say,LN) ln -sf $(LIBPRESENCE_SONAME) $@
$(BUILD)/libpresence.a: $(LIBPRESENCE_OBJECTS) $(BUILD)/sources
	$(call say,AR) $(CC) -r -nostdlib -o $(BUILD)/libpresence.o $(LIBPRESENCE_OBJECTS) && \
		objcopy --localize-hidden $(BUILD)/libpresence.o && rm -f $@ && ar rcs $@ $(BUILD)/libpresence.o

# The same objects as they are, for tests of their insides.
$(BUILD)/libclient.a: $(CLIENT_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/sources
	$(call say,AR) rm -f $@; ar rcs $@ $(CLIENT_SOURCES:%.c=$(BUILD)/%.o)

# What uses the library sees its header and nothing else of ours. The examples take the shared one, as a stranger would.
$(CLIENT_PROGRAMS): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libpresence.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBPRESENCE_LDLIBS) -ljansson $(LDLIBS)
$(EXAMPLES): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libpresence.so
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $< -L$(BUILD) -Wl,-rpath,$(abspath $(BUILD)) -lpresence \
		$(if $(findstring uv,$(notdir $@)),-luv) $(LDLIBS)

.PHONY: install-libpresence install-libpresence-files
LIBDIR ?= $(PREFIX)/lib
install-libpresence: libpresence
	$(MAKE) install-libpresence-files
install-libpresence-files: # as it is built
	install -D -m 644 include/presence.h '$(DESTDIR)$(PREFIX)/include/presence.h'
	install -D -m 644 $(BUILD)/libpresence.a '$(DESTDIR)$(LIBDIR)/libpresence.a'
	install -D -m 755 $(BUILD)/$(LIBPRESENCE_SONAME) '$(DESTDIR)$(LIBDIR)/$(LIBPRESENCE_SONAME)'
	ln -sf $(LIBPRESENCE_SONAME) '$(DESTDIR)$(LIBDIR)/libpresence.so'
	mkdir -p '$(DESTDIR)$(LIBDIR)/pkgconfig'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		etc/libpresence.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/libpresence.pc'

# ---- presencectl --------------------------------------------------------------------------------

$(BUILD)/presencectl: $(BUILD)/src/cli/main.o $(BUILD)/libcli.a $(BUILD)/libpresence.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBPRESENCE_LDLIBS) -lcurl -ljansson $(LDLIBS)

# ---- test programs ------------------------------------------------------------------------------

$(UNIT): $(BUILD)/%: $(BUILD)/%.o $(UNIT_SUPPORT:%.c=$(BUILD)/%.o) $(BUILD)/libcli.a $(BUILD)/libclient.a \
	$(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) $(UNIT_LDFLAGS) -o $@ $^ -lcmocka $(ALL_LDLIBS)

$(TORTURE): $(BUILD)/%: $(BUILD)/%.o $(TORTURE_SUPPORT:%.c=$(BUILD)/%.o) $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(BENCH): $(BUILD)/%: $(BUILD)/%.o $(BENCH_SUPPORT:%.c=$(BUILD)/%.o) $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(FUZZ_REPLAY): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libclient.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(FUZZERS): $(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libclient.a $(BUILD)/libcore.a
	$(call say,LINK) mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(ALL_LDLIBS)

.PHONY: programs build-unit build-torture build-bench build-fuzz-replay build-fuzzers
build-unit: $(UNIT)
build-torture: $(TORTURE)
build-bench: $(BENCH)
build-fuzz-replay: $(FUZZ_REPLAY)
build-fuzzers: $(FUZZERS)
programs: all echo build-unit build-torture build-fuzz-replay build-clients # all that tests/run needs of a mode

# ---- tests --------------------------------------------------------------------------------------
#
# tests/run knows the suites and their limits; these are the parts of it, one at a time.

.PHONY: unit torture integration conformance lab fuzz-replay test test-long fuzz
.PHONY: bench bench-peers bench-million record-costs
SUITE = CC='$(CC)' tests/run --no-build --mode=$(MODE) --build=$(BUILD)

unit: build-unit
	@$(SUITE) unit
torture: build-torture
	@$(SUITE) torture
integration: all
	@$(SUITE) integration
conformance: all echo
	@$(SUITE) conformance
lab: all
	@$(SUITE) lab
fuzz-replay: build-fuzz-replay
	@$(SUITE) fuzz-replay

test: packages-test
	tests/run $(if $(SAN),--mode=$(MODE))
test-long: packages-test
	tests/run --long

# Bounds that hold on a quiet machine. The tables stay in build/bench*-table.txt.
BENCH_RUN = PRESENCED_BIN=$(CURDIR)/$(BUILD)/presenced BENCH_BIN=$(CURDIR)/$(BUILD)/tests/bench \
	tests/bench/run
bench: packages-bench
	$(MAKE) all build-bench
	PRESENCED_BIN=$(CURDIR)/$(BUILD)/presenced tests/bench/doors
	$(BENCH_RUN)
bench-peers: packages-bench
	$(MAKE) all build-bench
	$(BENCH_RUN) --peers
bench-million: packages-bench
	$(MAKE) all build-bench
	$(BENCH_RUN) --million

# The instructions that tests/integration/test_costs.py holds the server to, counted anew.
record-costs: packages-test
	$(MAKE) all
	PRESENCED_BIN=$(CURDIR)/$(BUILD)/presenced tests/bench/record-costs

# A minute each. libFuzzer is clang's, and wants its coverage in the library too: a mode of its own.
# What is found stays under build/fuzz-clang; the corpus of the repository is only read.
FUZZ_SECONDS ?= 60
fuzz: packages-test
	$(MAKE) CC=clang SAN=fuzzer-no-link,address,undefined build-fuzzers
	etc/dev/fuzz $(FUZZ_SECONDS) $(FUZZ_SOURCES:tests/fuzz/%.c=build/fuzz-clang/fuzzers/%)

# ---- checks -------------------------------------------------------------------------------------

.PHONY: check check-format check-layers check-headers check-warnings check-length format
CHECKS := check-format check-layers check-length check-headers check-warnings
C_FILES = $(shell find src include tests -name '*.[ch]')

check: $(CHECKS)
	$(MAKE) DEBUG=1 SAN= unit

check-format:
	@clang-format --dry-run -Werror $(C_FILES)
check-layers:
	etc/dev/check-layers
check-length:
	etc/dev/check-length
check-headers:
	@etc/dev/check-headers '$(STANDARD) $(WARNINGS) -Werror $(LIBRARIES_CFLAGS)'
check-warnings:
	@etc/dev/check-warnings '$(STANDARD) $(WARNINGS) -Werror $(LIBRARIES_CFLAGS)' '$(WARNINGS_CLANG)'
format:
	clang-format -i $(C_FILES)

# ---- running it ---------------------------------------------------------------------------------

.PHONY: run demo
run: packages-build
	$(MAKE) all
	@exec etc/dev/run $(BUILD)/presenced
demo: packages-demo
	$(MAKE) all
	@PRESENCED_BIN=$(CURDIR)/$(BUILD)/presenced etc/dev/demo

.PHONY: packages-build packages-test packages-bench packages-demo
packages-build:
	@etc/dev/install-packages $(PACKAGES_BUILD)
packages-test:
	@etc/dev/install-packages $(PACKAGES_TEST)
packages-bench:
	@etc/dev/install-packages $(PACKAGES_BENCH)
packages-demo:
	@etc/dev/install-packages $(PACKAGES_DEMO)

# ---- installing ---------------------------------------------------------------------------------

PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR ?= $(PREFIX)/lib/systemd/system
MAN_PAGES := $(wildcard etc/man/*.[1-8])
UNITS := $(wildcard etc/systemd/*)

.PHONY: install install-files clean help
install: all install-files install-libpresence
	install -D -m 755 $(BUILD)/presenced '$(DESTDIR)$(PREFIX)/bin/presenced'
	install -D -m 755 $(BUILD)/presencectl '$(DESTDIR)$(PREFIX)/bin/presencectl'

# All but what is built. The units name where the server and its settings lie.
install-files:
	mkdir -p '$(DESTDIR)$(UNITDIR)'
	$(foreach unit,$(UNITS),sed -e 's|/usr/bin/presenced|$(PREFIX)/bin/presenced|' \
		-e 's|/etc/presenced.env|$(SYSCONFDIR)/presenced.env|' $(unit) \
		>'$(DESTDIR)$(UNITDIR)/$(notdir $(unit))' && \
		chmod 644 '$(DESTDIR)$(UNITDIR)/$(notdir $(unit))' &&) true
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/bash-completion/completions' $(wildcard etc/completion/*)
ifneq ($(wildcard etc/presenced.env),)
	test -e '$(DESTDIR)$(SYSCONFDIR)/presenced.env' || \
		install -D -m 640 etc/presenced.env '$(DESTDIR)$(SYSCONFDIR)/presenced.env'
endif
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) \
		'$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page))' &&) true

clean:
	rm -rf build

help:
	@echo 'make               build/release/presenced and presencectl'
	@echo 'make libpresence   the client library: libpresence.so, libpresence.a'
	@echo 'make run           install what it needs, build, start a server on its defaults'
	@echo 'make demo          pull a cable, and see the watcher told: two hosts, one minute'
	@echo 'make test          install what they need, run all tests (under 15 minutes)'
	@echo 'make test-long     the ones that take longer, too'
	@echo 'make check         format, layers, headers, warnings, file lengths, unit tests'
	@echo 'make unit, torture, integration, conformance, lab, fuzz-replay   one suite, in the mode given'
	@echo 'make bench         build and run the benchmarks: one JSON line a figure, and a table'
	@echo 'make bench-peers   the same loads on mosquitto, redis and memcached, and the ratios'
	@echo 'make bench-million a million sessions on one server: eight minutes, 11 GiB'
	@echo 'make record-costs  count the instructions that the tests hold the server to'
	@echo 'make fuzz          every fuzzer for FUZZ_SECONDS=60'
	@echo 'make format        clang-format everything'
	@echo 'make install       to PREFIX=/usr/local, under DESTDIR'
	@echo 'make clean         remove build/'
	@echo
	@echo 'Modes: DEBUG=1, SAN=address,undefined, SAN=thread, CC=clang; WERROR=1, V=1'
