# Input that no registry ever wrote: each line of it is one outcome or reject
# with its number, the rest is applied, and memory stays what it was.
# shellcheck shell=bash

load helper

setup_file() {
    sim_start --from "$ROOT/examples/contoso.json" --dest contoso-east -q
    # An empty hub for each test would be slow: ids differ instead.
    cd "$BATS_FILE_TMPDIR" || return
    export DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING
}

teardown_file() {
    sim_stop
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    export DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING
    # Jobs have tests of their own.
    unset IOTHUB_CONN_STRING STORAGE_ACCT_CONN_STRING
}

auth='"authentication":{"symmetricKey":{"primaryKey":"bGVhZmxlYWZsZWFmbGVhZg==","secondaryKey":"bGVhZmxlYWZsZWFmbGVhZg=="},"type":"sas"}'
base="\"status\":\"enabled\",$auth"

# good ID [MEMBERS]
good() {
    printf '{"id":"%s",%s%s}\n' "$1" "$base" "${2:+,$2}"
}

# nested N
nested() {
    printf '{"id":"deep","x":'
    head -c "$1" /dev/zero | tr '\0' '['
    head -c "$1" /dev/zero | tr '\0' ']'
    printf '}\n'
}

# small COMMAND: in 200 MiB of address space, when nothing needs more for itself.
small() {
    local limit='ulimit -v 204800'
    [ -z "${HUBPIPE_TEST_WRAPPER-}" ] && ! grep -q __asan_init "$(command -v registry-edit)" ||
        limit=:
    bash -o pipefail -c "$1" | bash -c "$limit; exec $2"
}

# outcomes FILE: "line code" of each.
outcomes() {
    jq -r '"\(.line) \(.code)"' "$1"
}

@test "byte order mark, CRLF, blank lines, no end of the last line: all records, no byte lost" {
    for i in 1 2 3; do good "crlf-$i" '"tags":{"n":'$i'}'; done >plain.txt
    { printf '\357\273\277'; sed 's/$/\r/; 1s/$/\n\r/' plain.txt; } | head -c -2 >odd.txt
    expect_status 0 registry-diff plain.txt odd.txt
    has "equal: 3 entries"
    expect_pipe 0 "registry-edit odd.txt | tr -d '\r' | cmp - plain.txt"
    expect_pipe 0 "registry-load -n <odd.txt"
    has '"records":3'
    expect_pipe 0 "registry-load -q <odd.txt"
    expect_pipe 0 "registry-dump -q --via=rest --ids=plain.txt env:DEST_IOTHUB_CONN_STRING |
        registry-diff plain.txt -"
    has "equal: 3 entries"
}

@test "a line of 1 MB is a line: kept, compared, and the hub's to refuse" {
    {
        good large-1
        good large-2 "\"tags\":{\"big\":\"$(head -c 1000000 /dev/zero | tr '\0' x)\"}"
        good large-3
    } >in.txt
    expect_pipe 0 "registry-edit --mode=update in.txt | sed 's/,\"importMode\":\"update\"//' | cmp - in.txt"
    expect_status 0 registry-diff in.txt in.txt
    sed 's/xxx"}/xxy"}/' in.txt >other.txt
    run bash -c 'registry-diff in.txt other.txt 2>&1 >diffs'
    [ "$(jq -c '[.id, .path, (.a | length)]' diffs)" = '["large-2","/tags/big",1000000]' ]
    registry-load -q --rejects=rej <in.txt >out && false
    [ "$(jq -r '.line' out)" = 2 ]
    sed -n 2p in.txt | cmp - rej
    expect_pipe 0 "registry-dump -q --via=rest --ids=in.txt env:DEST_IOTHUB_CONN_STRING | jq -r .id | grep -cx 'large-[13]'"
    has 2
}

@test "a gigabyte without a newline: one reject, and no more memory" {
    truncate -s 1G zeros
    expect_status 3 small 'cat zeros' 'registry-edit -o out'
    has "line 1: the line is longer than 4 MiB" "no line of it is a record"
    [ ! -e out ]
    good before >before.txt
    expect_status 7 small 'cat before.txt zeros; echo; cat before.txt' 'registry-edit -o out'
    has "line 2: the line is longer than 4 MiB"
    cat before.txt before.txt | cmp - out
    expect_status 3 small 'cat zeros' 'registry-diff before.txt -'
    has "'stdin': line 1 is longer than 4 MiB"
    # It keeps what it was given, for --rejects: not in memory.
    truncate -s 256M zeros
    expect_status 7 small 'cat before.txt zeros' 'registry-load -n'
    has '"line":2' '"records":1'
}

@test "integers beyond 2^53, and other numbers that libraries spoil, are what they were" {
    good number-1 '"tags":{"n":4503599627370495,"m":-4503599627370496,"f":1.0,"e":0.30000000000000004}' >in.txt
    for n in 9007199254740993 18446744073709551615 123456789012345678901234567890 1E400 -0 1e2; do
        good "odd-${#n}" "\"tags\":{\"n\":$n}"
    done >odd.txt
    expect_pipe 0 "cat in.txt odd.txt | registry-edit --mode=create --drop=eTag | sed 's/,\"importMode\":\"create\"//' >out"
    cat in.txt odd.txt | cmp - out
    expect_status 0 registry-diff odd.txt odd.txt
    expect_pipe 1 "sed 's/9007199254740993/9007199254740992/' odd.txt | registry-diff odd.txt -"
    has '"a":9007199254740993,"b":9007199254740992'
    expect_pipe 0 "registry-load -q <in.txt"
    expect_pipe 0 "registry-dump -q --via=rest --ids=in.txt env:DEST_IOTHUB_CONN_STRING | registry-diff in.txt -"
    # A hub keeps no more than 2^52: what it refuses is an outcome, not a loss.
    registry-load -q --rejects=rej <odd.txt >outcomes && false
    outcomes outcomes >got
    grep -q '^1 ' got
    grep -q '^3 ' got
    [ "$(wc -l <rej)" -eq "$(wc -l <outcomes)" ]
    registry-edit --ids=rej odd.txt | cmp - rej
}

@test "members that are there twice, at any depth" {
    {
        printf '{"id":"a","id":"b",%s}\n' "$base"
        printf '{"id":"twice-2","\\u0069d":"b",%s}\n' "$base"
        good twice-3 '"tags":{},"tags":{}'
        good twice-4 '"tags":{"x":{"y":1,"y":1}}'
        good twice-5
    } >in.txt
    expect_status 7 registry-edit -o out in.txt
    has "line 1: id is there twice" "line 2: id is there twice" "line 3: tags is there twice"
    tail -n 2 in.txt | cmp - out
    registry-load -q --rejects=rej <in.txt >out && false
    [ "$(jq -r .line out | head -n 3 | paste -sd ' ')" = "1 2 3" ]
    expect_pipe 0 "registry-dump -q --via=rest --ids=- env:DEST_IOTHUB_CONN_STRING <<<twice-5 | grep -c id"
    expect_pipe 3 "registry-diff in.txt - <in.txt"
    has "line 1: id is there twice"
}

@test "100,000 nested brackets, in a record or instead of one" {
    { good deep-1; nested 100000; head -c 100000 /dev/zero | tr '\0' '['; echo
      good deep-4; } >in.txt
    expect_status 7 small 'cat in.txt' 'registry-edit -o out'
    has "line 2: no JSON: nested too deep" "line 3: no JSON: nested too deep"
    sed -n '1p;4p' in.txt | cmp - out
    expect_status 3 registry-diff in.txt in.txt
    has "line 2: no JSON: nested too deep"
    registry-load -q --rejects=rej <in.txt >outcomes && false
    [ "$(jq -r .line outcomes | paste -sd ' ')" = "2 3" ]
    sed -n '2,3p' in.txt | cmp - rej
    # As deep as is allowed, all the way.
    nested 127 | registry-edit >out
    nested 127 | cmp - out
}

@test "10,000 lines, 1 % of them bad in ten ways: each is one reject, the rest is applied" {
    python3 - "$base" <<'END'
import sys
base = sys.argv[1].encode()
bad = [b'oops', b'{"id":"%d",' % 7, b'[{"id":"x"}]', b'{%s}' % base,
       b'{"id":"a b",%s}' % base, b'{"id":"x","tags":{"a":"\xc3\x28"},%s}' % base,
       b'{"id":"x\x00y",%s}' % base, b'{"id":"x","importMode":"upsert",%s}' % base,
       b'{"id":"x","status":"maybe"}', b'{"id":"x","id":"y",%s}' % base]
with open("in.txt", "wb") as f, open("bad.txt", "wb") as b, open("good.txt", "wb") as g, open("numbers", "w") as n:
    for i in range(1, 10001):
        if i % 100 == 50:
            line = bad[i // 100 % 10] + b"\n"
            b.write(line)
            n.write(f"{i}\n")
        else:
            line = b'{"id":"mix-%d",%s}\n' % (i, base)
            g.write(line)
        f.write(line)
END
    expect_status 7 registry-edit -o out --rejects=rej in.txt
    same out good.txt
    same rej bad.txt
    has "100 lines were refused"
    expect_pipe 7 "registry-load -n --rejects=rej <in.txt >outcomes"
    jq -r 'select(.line) | .line' outcomes | sort -n >got
    same got numbers
    expect_pipe 7 "registry-load -q --rejects=rej <in.txt >outcomes"
    jq -r .line outcomes | sort -n >got
    same got numbers
    same rej bad.txt
    [ "$(jq -r 'select(.tried != "read" or .retry) | .line' outcomes | wc -l)" -eq 0 ]
    # All others are there: the same again writes nothing.
    expect_status 3 registry-diff in.txt good.txt
    has "line 50: "
}

@test "no byte of an untouched member changes: every row of what other parsers spoil" {
    values=(9007199254740993 18446744073709551615 123456789012345678901234567890
        1.0 1e2 1E400 -0 0.1 0.30000000000000004 '{"b":1,"a":2,"10":3,"2":4}'
        '{"x":1,"x":2}' '"a\u0000b"' '{"a\u0000b":1}' '"\ud800"' '"\/\u00e9"'
        '{ "a" : [ 1 ,	2 ] }' '"ü北京🙂"' '"\"\\\b\f\n\r\t"')
    for i in "${!values[@]}"; do
        v=${values[i]}
        printf '{"z":%s,"id":"row-%d","eTag":"AA==","tags":{"keep":%s},"y":[%s]}\n' "$v" "$i" "$v" "$v"
        printf '{"z":%s,"id":"row-%d","tags":{"keep":%s},"y":[%s],"importMode":"update","properties":{"desired":{"new":7}}}\n' \
            "$v" "$i" "$v" "$v" >&3
    done >rows.txt 3>want
    edit="registry-edit --mode=update --drop=eTag --set 'properties.desired.new=7' --where '.id'"
    expect_pipe 0 "$edit rows.txt | cmp - want"
    # A copy through every tool that copies.
    registry-diff -q --plan=plan -o diffs rows.txt <(head -n 0 rows.txt; good other) && false
    grep -v '"other"' plan | sed 's/,"importMode":"createOrUpdate"//' | cmp - rows.txt
    # What is no JSON is refused, not mended.
    bad=($'"\xff"' $'"\xc0\x80"' $'"\x01"' '[1,]' 01 NaN '"\x"' "'a'" '{"a":1,}' '+1' '.5' '1.' 'tru'
        "$(head -c 1000 /dev/zero | tr '\0' '[')$(head -c 1000 /dev/zero | tr '\0' ']')")
    for v in "${bad[@]}"; do
        printf '{"id":"bad","z":%s}\n' "$v"
    done >bad.txt
    expect_status 3 registry-edit --rejects=rej bad.txt
    same bad.txt rej
    [ "$(grep -c 'line [0-9]*: no JSON' <<<"$output")" -eq "${#bad[@]}" ]
}

@test "a file on stdin is read twice: from where it stood, like a pipe; what is written to it meanwhile is seen" {
    {
        printf '# an export without keys\r\n\n'
        good twice-1
        echo '   '
        echo 'no record'
        good twice-2 '"tags":{"n":1.0}'
        printf '\r\n'
        good twice-3
    } >in.txt
    expect_pipe 7 "registry-load -q --outcomes=all --journal=j --rejects=r1 <in.txt >o1"
    expect_pipe 7 "cat in.txt | registry-load -q --outcomes=all --rejects=r2 >o2"
    expect_pipe 7 "{ read -r _; read -r _; registry-load -q --outcomes=all --rejects=r3; } <in.txt >o3"
    [ "$(cat r1)" = "no record" ]
    cmp r1 r2 && cmp r1 r3
    [ "$(jq -sc 'sort_by(.line) | map([.line, .id])' o1)" = '[[3,"twice-1"],[5,null],[6,"twice-2"],[8,"twice-3"]]' ]
    [ "$(jq -sc 'sort_by(.line) | map([.line, .id])' o2)" = "$(jq -sc 'sort_by(.line) | map([.line, .id])' o1)" ]
    [ "$(jq -sc 'sort_by(.line) | map([.line + 2, .id])' o3)" = "$(jq -sc 'sort_by(.line) | map([.line, .id])' o1)" ]
    # The same work to a journal, by file or by pipe.
    expect_pipe 7 "cat in.txt | registry-load --journal=j >o4"
    has "nothing is left to do"
    # An audit goes to the end of its file, whatever that is.
    for i in {1..1000}; do good "twice-$i" '"tags":{"n":1}'; done >own.txt
    expect_pipe 3 "registry-load -q -j 1 --audit=own.txt <own.txt"
    has "'stdin': the file was written to while it was loaded"
}
