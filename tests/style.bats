# What the sources promise, checked on the sources.
# shellcheck shell=bash

load helper

setup() {
    cd "$ROOT" || return
}

@test "no tool contains the name of an endpoint type" {
    for p in plugins/*.c; do
        type=$(basename "$p" .c)
        run grep -rniw --include='*.[ch]' --exclude-dir=hub-sim "$type" tools
        [ -z "$output" ] || {
            echo "$output"
            return 1
        }
    done
    [ -e plugins/eventHubs.c ]
}

@test "no suffix of a cloud is a literal in a tool or a plugin" {
    run grep -rnE --include='*.c' --exclude-dir=hub-sim --exclude=hub-sim.c \
        '"[^"]*(windows\.net|azure\.com|microsoftonline|azure-devices\.net)' \
        tools plugins
    [ -z "$output" ] || {
        echo "$output"
        return 1
    }
}

@test "main is the last function of each tool and at most 40 lines" {
    for f in tools/*.c; do
        awk -v f="$f" '
            /^main\(/ { start = NR }
            start && /^}/ && !end { end = NR }
            end && NR > end && NF { after = NR }
            END {
                if (!start || after || end - start > 40) {
                    print f ": main at " start ", ends " end ", then " after
                    exit 1
                }
            }' "$f"
    done
}

@test "a tool file stays within about 400 lines, a plugin within about 100" {
    for f in tools/*.c; do
        [ "$(wc -l <"$f")" -le 440 ] || { wc -l "$f"; return 1; }
    done
    for f in plugins/*.c; do
        [ "$(wc -l <"$f")" -le 120 ] || { wc -l "$f"; return 1; }
    done
    [ "$(wc -l <GNUmakefile)" -le 150 ]
}

@test "only msg.c and progress.c write to stderr, only msg.c and opt.c exit" {
    run grep -rnE --include='*.c' '[^ ]*[(,] *stderr\b' tools
    for line in "${lines[@]}"; do
        [[ $line == tools/lib/msg.c:* || $line == tools/lib/progress.c:* ]] || {
            echo "$line"
            return 1
        }
    done
    run grep -rnE --include='*.c' '\b_?exit\(' tools
    for line in "${lines[@]}"; do
        [[ $line == tools/lib/msg.c:* || $line == tools/lib/opt.c:* ]] || {
            echo "$line"
            return 1
        }
    done
}

@test "the plugin header compiles alone, as C11, pedantic" {
    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -Iplugins -x c \
        -fsyntax-only plugins/hubpipe-plugin.h
}

@test "each header of tools/lib compiles alone" {
    for h in tools/lib/*.h; do
        gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror \
            -Itools/lib -Iplugins -x c -fsyntax-only "$h"
    done
}

@test "the tools do not know the simulator" {
    run grep -rniE --include='*.[ch]' --exclude-dir=hub-sim 'hub-sim|simulat' tools
    for line in "${lines[@]}"; do
        # A comment may say what a variable is for.
        [[ $line == tools/hub-sim.c:* || $line == *' * '* || $line == *'/*'* ]] || {
            echo "$line"
            return 1
        }
    done
}

@test "registry-edit loads no library that it does not need" {
    # libcrypto alone is half its memory and its start: digest.c is apart for that.
    expect_status 0 ldd "$(command -v registry-edit)"
    has libjq
    has_not libcrypto libcurl
}
