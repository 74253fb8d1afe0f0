# tmpl-rewrite: every folder of tests/golden/tmpl-rewrite is a case: in.json
# on stdin, args, and what comes out: out.json, err, status.  With GOLDEN_UPDATE
# set, what comes out is written there instead: look at the diff.

load helper

golden() {
    umask 022
    local dir=$1 got=0
    cd "$dir" || return 1
    eval "set -- $(cat args)"
    tmpl-rewrite "$@" <in.json >"$BATS_TEST_TMPDIR/out" \
        2>"$BATS_TEST_TMPDIR/err" || got=$?
    # Where the tree stands is not part of what is said.
    sed -i "s|$(cd "$O" && pwd -P)|BUILD|g; s|$O|BUILD|g; s|$ROOT|ROOT|g" \
        "$BATS_TEST_TMPDIR/err"
    if [ -n "${GOLDEN_UPDATE-}" ]; then
        cp "$BATS_TEST_TMPDIR/out" out.json
        cp "$BATS_TEST_TMPDIR/err" err
        echo "$got" >status
    fi
    if [ "$got" != "$(cat status)" ]; then
        echo "status $got instead of $(cat status)"
        cat "$BATS_TEST_TMPDIR/err"
        return 1
    fi
    same err "$BATS_TEST_TMPDIR/err" && same out.json "$BATS_TEST_TMPDIR/out"
}

# The output, rewritten again with the same options, is the same.
idempotent() {
    cd "$1" || return 1
    eval "set -- $(cat args)"
    case " $* " in *" -n "*) return 0 ;; esac
    tmpl-rewrite "$@" <out.json >"$BATS_TEST_TMPDIR/again" 2>/dev/null &&
        same out.json "$BATS_TEST_TMPDIR/again"
}

@test "every golden case" {
    local failed=0 case
    for case in "$ROOT"/tests/golden/tmpl-rewrite/*/; do
        (golden "$case") || {
            echo "^ $case"
            failed=1
        }
    done
    [ "$failed" = 0 ]
}

@test "rewriting what is rewritten changes nothing" {
    local failed=0 case
    for case in "$ROOT"/tests/golden/tmpl-rewrite/*/; do
        [ "$(cat "$case/status")" = 0 ] || continue
        (idempotent "$case") || {
            echo "^ $case"
            failed=1
        }
    done
    [ "$failed" = 0 ]
}
