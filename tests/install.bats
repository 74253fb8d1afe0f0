# make install: what it puts where, that it runs from there, and that
# uninstall takes all of it away.
# shellcheck shell=bash

load helper

@test "installed under DESTDIR, the tools find their files; uninstall leaves none" {
    d=$BATS_TEST_TMPDIR/root
    make -s -C "$ROOT" O="$O" install DESTDIR="$d" PREFIX=/usr
    for t in "$ROOT"/tools/*.c; do
        t=$(basename "$t" .c)
        [ -x "$d/usr/bin/$t" ]
        [ -e "$d/usr/share/man/man1/$t.1" ]
        [ -e "$d/usr/share/bash-completion/completions/$t" ]
    done
    [ -e "$d/usr/include/hubpipe-plugin.h" ]
    [ -e "$d/usr/share/man/man3/hubpipe-plugin.3" ]
    PATH=$d/usr/bin:$PATH
    hash -r
    expect_status 0 tmpl-rewrite --name contoso-east "$ROOT/examples/contoso.json"
    has contoso-east
    expect_status 0 key-inject --list-plugins
    has eventHubs
    rm "$d/usr/lib/hubpipe/eventHubs.so" # these are the plugins it found
    expect_status 0 key-inject --list-plugins
    has_not eventHubs
    make -s -C "$ROOT" O="$O" uninstall DESTDIR="$d" PREFIX=/usr
    [ -z "$(find "$d" ! -type d)" ]
}

@test "make help names every target that has one" {
    expect_status 0 make -s -C "$ROOT" help
    for target in all deps demo check check-asan check-valgrind bench lint \
        install uninstall help; do
        has "$target"
    done
}

@test "builds with a read-only source tree, in parallel, as DEVELOPER" {
    [ -z "${SANITIZE-}" ] || skip "built once without sanitizers"
    cp -r "$ROOT"/{GNUmakefile,tools,plugins,share,tests,man} "$BATS_TEST_TMPDIR/"
    chmod -R a-w "$BATS_TEST_TMPDIR"/{GNUmakefile,tools,plugins,share,tests,man}
    expect_status 0 make -s -j2 -C "$BATS_TEST_TMPDIR" DEVELOPER=1 CFLAGS=-O0 \
        O="$BATS_TEST_TMPDIR/out" all
    [ -x "$BATS_TEST_TMPDIR/out/bin/registry-diff" ]
    chmod -R u+w "$BATS_TEST_TMPDIR"
}
