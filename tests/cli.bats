# Every tool, the same manners: one loop over all of them, so that a new tool
# is held to them on its first day.
# shellcheck shell=bash

load helper

setup() {
    cd "$ROOT" || return
    tools=$(for f in tools/*.c; do basename "$f" .c; done)
}

# page TOOL: the long options its manual page lists.
page_options() {
    sed -n '/^\.It/s/.*Fl Fl \([a-z-]*\).*/\1/p' "man/$1.1" | sort -u
}

tool_options() {
    "$1" --list-options | sed 's/^--//; s/=$//' | sort -u
}

@test "--help goes to stdout, starts with the usage, has an example, ends 0" {
    for t in $tools; do
        "$t" --help >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
        [ ! -s "$BATS_TEST_TMPDIR/err" ]
        head -n 1 "$BATS_TEST_TMPDIR/out" | grep -q "^usage: $t "
        grep -A1 '^example:' "$BATS_TEST_TMPDIR/out" | grep -q "$t"
        grep -q '^exit status:' "$BATS_TEST_TMPDIR/out"
    done
}

@test "-h wins over whatever else is wrong" {
    for t in $tools; do
        expect_status 0 "$t" --no-such-option -h
        has "usage: $t"
    done
}

@test "an unknown option is one line on stderr, nothing on stdout, status 2" {
    for t in $tools; do
        expect_status 2 "$t" --no-such-option
        [ "${#lines[@]}" -eq 1 ]
        has "$t: " "unknown option '--no-such-option'" "try '$t --help'"
        [ -z "$("$t" --no-such-option 2>/dev/null)" ]
        expect_status 2 "$t" -Z
        has "unknown option -Z"
    done
}

@test "--version names the tool and the suite, the number last" {
    for t in $tools; do
        expect_status 0 "$t" --version
        [[ $output =~ ^$t\ \(hubpipe\)\ [0-9]+\.[0-9]+$ ]]
    done
}

@test "a full disk behind --help and --version is a local failure" {
    for t in $tools; do
        expect_pipe 4 "$t --help >/dev/full"
        has "$t: 'stdout': write failed"
        expect_pipe 4 "$t --version >&-"
    done
}

@test "stdin closed: no tool hangs or succeeds" {
    for t in tmpl-rewrite key-inject registry-edit; do
        expect_pipe 4 "$t <&-"
        has "$t: " "stdin"
    done
    for t in 'tmpl-deploy -g g' 'registry-load env:DEST_IOTHUB_CONN_STRING'; do
        expect_pipe 4 "DEST_IOTHUB_CONN_STRING='HostName=h.azure-devices.net;SharedAccessKeyName=n;SharedAccessKey=a2V5' $t <&-"
        has "stdin"
    done
}

@test "empty input is bad input: a stage whose predecessor died does nothing" {
    for t in tmpl-rewrite key-inject 'tmpl-deploy -g g' registry-edit; do
        expect_pipe 3 "$t </dev/null"
        has "empty"
        [ -z "$($t </dev/null 2>/dev/null)" ]
    done
}

@test "every option of --help is in the manual page, and the other way round" {
    for t in $tools; do
        diff <(tool_options "$t") <(page_options "$t") || {
            echo "$t: --list-options (<) and man/$t.1 (>) differ"
            return 1
        }
        diff <("$t" --help | sed -n 's/^  \(-.,\|   \) --\([a-z-]*\).*/\2/p' | sort -u) \
            <(tool_options "$t")
    done
}

@test "every tool has a page and every page a tool" {
    diff <(echo "$tools") \
        <(for p in man/*.1; do basename "$p" .1; done)
}

@test "EXIT STATUS of the page lists the statuses of --help" {
    for t in $tools; do
        diff <("$t" --help | sed -n '/^exit status:/,$s/^  \([0-9]\) .*/\1/p') \
            <(sed -n '/^\.Sh EXIT STATUS/,/^\.Sh [^E]/s/^\.It \(Cm \|Sy \|Li \)\{0,1\}\([0-9]\).*/\2/p' \
                "man/$t.1") || {
            echo "$t: --help (<) and man/$t.1 (>) differ"
            return 1
        }
    done
}

@test "the table of tools in README is the one of hubpipe(7)" {
    diff <(sed -n 's/^| `\([a-z-]*\)` | \(.*\) |$/\1 \2/p' README.md) \
        <(sed -n '/^\.Sh TOOLS/,/^\.El/{/^\.It Xr/{s/^\.It Xr \([a-z-]*\) 1.*/\1/;N;s/\n/ /;p;}}' \
            man/hubpipe.7)
    diff <(echo "$tools") \
        <(sed -n 's/^| `\([a-z-]*\)` | .*/\1/p' README.md | sort)
}

@test "completion offers what the tool lists" {
    for t in $tools; do
        grep -q -- " $t\b" share/completions/hubpipe.bash
    done
    # shellcheck disable=SC1091
    . share/completions/hubpipe.bash
    compopt() { :; }
    COMP_WORDS=(registry-load --rej) COMP_CWORD=1
    _hubpipe
    [ "${COMPREPLY[0]}" = --rejects= ]
}
