# Every example in README, man/ and examples/ is run, as it stands there.
# shellcheck shell=bash

load helper

setup_file() {
    jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/fleet.txt"
}

# in_sim FILE: runs that shell text in an empty folder inside a simulator.
in_sim() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$ROOT/examples/migrate.mk" .
    export XDG_STATE_HOME=$BATS_TEST_TMPDIR/state
    # A page's --where finds the devices that were there before it began.
    hub-sim --from "$ROOT/examples/contoso.json" -g west-rg --doubt query-lag=off \
        --registry "$BATS_FILE_TMPDIR/fleet.txt" --dest contoso-east -- \
        bash -euo pipefail "$1"
}

# before TOOL: what the examples of that tool take for granted: files of those
# names, and for the registry tools a hub to load into.
before() {
    cat <<'EOF'
hub-export -q -g west-rg contoso >contoso.json
registry-dump -q >contoso.txt
cp contoso.txt fleet.txt
tmpl-rewrite -q --name contoso-east --location eastus <contoso.json >east.json
EOF
    [[ $1 != registry-* ]] ||
        echo 'key-inject -q <east.json | tmpl-deploy -q -g east-rg >/dev/null'
}

# page_examples FILE: the commands of its EXAMPLES: lines after "$ ", and the
# lines that go on after a backslash, a pipe or && at the end.
page_examples() {
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh [^E]/p' "$1" |
        sed 's/\\&//g; s/\\(aq/'\''/g; s/\\-/-/g; s/\\(ti/~/g; s/\\e/\\/g' |
        awk '/^\$ / { sub(/^\$ /, ""); print; more = /(\\|\||&&)$/; next }
            more { print; more = /(\\|\||&&)$/ }'
}

@test "the examples of every manual page" {
    for page in "$ROOT"/man/*.1; do
        name=$(basename "$page" .1)
        page_examples "$page" >"$BATS_TEST_TMPDIR/$name.sh"
        grep -q "$name" "$BATS_TEST_TMPDIR/$name.sh" || {
            echo "man/$name.1 has no example of $name"
            return 1
        }
        echo "man/$name.1:"
        { before "$name"; cat "$BATS_TEST_TMPDIR/$name.sh"; } >"$BATS_TEST_TMPDIR/all.sh"
        expect_status 0 in_sim "$BATS_TEST_TMPDIR/all.sh"
        rm -rf "${BATS_TEST_TMPDIR:?}"/*
    done
}

@test "the example of every --help" {
    for t in "$ROOT"/tools/*.c; do
        t=$(basename "$t" .c)
        "$t" --help | sed -n '/^example:/,/^$/s/^    //p' >"$BATS_TEST_TMPDIR/$t.sh"
        echo "--help of $t:"
        cat "$BATS_TEST_TMPDIR/$t.sh"
        { before "$t"; cat "$BATS_TEST_TMPDIR/$t.sh"; } >"$BATS_TEST_TMPDIR/all.sh"
        expect_status 0 in_sim "$BATS_TEST_TMPDIR/all.sh"
        rm -rf "${BATS_TEST_TMPDIR:?}"/*
    done
}

@test "the examples of README, one after the other" {
    sed -n 's/^    //p' "$ROOT/README.md" | grep -v '^make' >"$BATS_TEST_TMPDIR/readme.sh"
    grep -q registry-diff "$BATS_TEST_TMPDIR/readme.sh"
    expect_status 0 in_sim "$BATS_TEST_TMPDIR/readme.sh"
}

@test "examples/clone and examples/prove" {
    echo "'$ROOT/examples/clone' west-rg contoso east-rg contoso-east eastus
        '$ROOT/examples/prove'" >"$BATS_TEST_TMPDIR/x.sh"
    expect_status 0 in_sim "$BATS_TEST_TMPDIR/x.sh"
}

@test "examples/migrate.mk, its plan first, and nothing done twice" {
    echo 'make -s -f migrate.mk plan
        make -s -f migrate.mk
        [ -e proved ]
        [ ! -s differences ]
        make -f migrate.mk' >"$BATS_TEST_TMPDIR/x.sh"
    expect_status 0 in_sim "$BATS_TEST_TMPDIR/x.sh"
    has "is up to date"
}

@test "examples/drill.mk: there, the hour, back, and a report" {
    cd "$BATS_TEST_TMPDIR"
    cp "$ROOT/examples/drill.mk" .
    expect_status 0 hub-sim --speed 600 --timing=real --token-seconds=1000000 -- make -s -f drill.mk EVERY=0.1
    has "contoso-drill: westus to eastus" "contoso-drill: eastus to westus" "devices after there: the same" \
        "devices after back: the same" "firstCall"
    [ "$(jq -s 'map(.result) | . == ["done", "done"]' there.json back.json)" = true ]
    [ "$(wc -l <times.tsv)" -eq 5 ]
    ! command -v gnuplot || { has "plot: drill.png"; head -c 4 drill.png | grep -qa PNG; }
}
