# registry-edit: records in, records out, no byte changed that nobody named.
# shellcheck shell=bash

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    H=$FIXTURES/hazards.txt
    cat >two.txt <<'END'
{"id":"d1","eTag":"AA==","status":"enabled","tags":{"site":"west","n":1.0},"properties":{"desired":{"hub":"a"}}}
{"id":"d2","status":"enabled","tags":null}
{"id":"d2","moduleId":"m","status":"enabled","tags":{"site":"east"}}
END
}

@test "without an option it copies records byte for byte" {
    expect_pipe 0 "registry-edit <'$H' >out"
    [ -z "$output" ]
    same "$H" out
    expect_pipe 0 "cat '$H' | registry-edit | registry-edit - | registry-edit >out"
    same "$H" out
}

@test "the mode is set and every other byte of the hazards stays" {
    expect_pipe 0 "registry-edit --mode=UpdateTwin '$H' >out"
    # Where there is no mode yet, it is added at the end of the object.
    sed 's/\( *\)}\( *\r\{0,1\}\)$/,"importMode":"updateTwin"\1}\2/' "$H" >want
    same want out
}

@test "a mode that is there is replaced in its place, whatever its spelling" {
    expect_pipe 0 "echo '{\"import\\u004dode\": 5 ,\"id\":\"d\"}' | registry-edit --mode=create"
    [ "$output" = '{"import\u004dode": "create" ,"id":"d"}' ]
    expect_pipe 2 "registry-edit --mode=upsert <two.txt"
    has "unknown mode 'upsert'"
}

@test "drop takes a member and one comma, at any depth, and nothing else" {
    expect_pipe 0 "registry-edit --drop=eTag --drop=tags.n --drop=properties.desired.hub --drop=tags.x.y two.txt | head -n 1"
    [ "$output" = '{"id":"d1","status":"enabled","tags":{"site":"west"},"properties":{"desired":{}}}' ]
    expect_pipe 0 "registry-edit --drop=eTag '$H' >out"
    sed 's/,"eT\\u0061g":"AAA="//' "$H" >want
    same want out
    expect_status 2 registry-edit --drop=id two.txt
    has "must stay"
    expect_status 2 registry-edit --drop=tags..x two.txt
}

@test "set changes the value named and nothing beside it" {
    expect_pipe 0 "registry-edit --set 'properties.desired.hub=\"b\"' two.txt"
    [ "${lines[0]}" = '{"id":"d1","eTag":"AA==","status":"enabled","tags":{"site":"west","n":1.0},"properties":{"desired":{"hub":"b"}}}' ]
    [ "${lines[1]}" = '{"id":"d2","status":"enabled","tags":null,"properties":{"desired":{"hub":"b"}}}' ]
}

@test "set sees the value as its input, and the ids and the line as variables" {
    expect_pipe 0 "registry-edit --set 'tags.site=ascii_upcase? // \"none\"' --set 'tags.who=[\$id,\$moduleId,\$line]' two.txt"
    has '"tags":{"site":"WEST","n":1.0,"who":["d1",null,1]}' \
        '"tags":{"site":"none","who":["d2",null,2]}' \
        '"tags":{"site":"EAST","who":["d2","m",3]}'
}

@test "a set that changes nothing, or gives nothing, leaves the bytes" {
    expect_pipe 0 "registry-edit --set 'tags=.' --set 'properties=empty' --set 'status=.' --allow-number-changes two.txt >out"
    same two.txt out
}

@test "a number that jq would alter is refused, not altered" {
    expect_pipe 7 "registry-edit --set 'tags.new=1' --set 'tags=.+{a:2}' two.txt 2>err >out"
    run cat err
    has "line 1: --set: tags holds a number that jq cannot keep" allow-number-changes
    [ "$(wc -l <out)" -eq 2 ]
    expect_pipe 0 "registry-edit --allow-number-changes --set 'tags=.+{a:2}' two.txt"
    has '"tags":{"site":"west","n":1,"a":2}'
    # What only looks odd is kept by jq, and so it may pass.
    expect_pipe 0 "echo '{\"id\":\"d\",\"tags\":{\"lat\":0.30000000000000004}}' | registry-edit --set 'tags.x=1' --set 'tags=.'"
    has '"lat":0.30000000000000004'
}

@test "what libjq would lose in silence is refused in what set reads only" {
    printf '%s\n' '{"id":"a","tags":{"x":1,"x":2}}' '{"id":"b","tags":{"y":"\ud800"}}' >odd.txt
    expect_pipe 3 "registry-edit --set 'tags=.+{z:1}' odd.txt"
    has "line 1: --set: a member that is there twice" "line 2: --set: half a surrogate"
    expect_pipe 0 "registry-edit --where true --set 'tags.z=1' odd.txt"
    has '{"id":"b","tags":{"y":"\ud800","z":1}}' '"x":1,"x":2,"z":1'
}

@test "where selects and alters no byte" {
    expect_pipe 0 "registry-edit --where '.tags.site' two.txt >out"
    sed -n '1p;3p' two.txt >want
    same want out
    expect_pipe 0 "registry-edit --where '.id | startswith(\"h-\")' '$H' >out"
    same "$H" out
    expect_pipe 0 "registry-edit --where 'false, true' two.txt"
    [ -z "$output" ]
    expect_pipe 0 "registry-edit --where '\$moduleId == \"m\" # said who' two.txt"
    [ "${#lines[@]}" -eq 1 ]
}

@test "ids selects: an id keeps its modules, id/module just the one" {
    printf 'd1\r\nd2\n' >ids
    expect_pipe 0 "registry-edit --ids=ids two.txt >out"
    same two.txt out
    echo d2/m >ids
    expect_pipe 0 "registry-edit --ids=ids two.txt"
    [ "$output" = "$(sed -n 3p two.txt)" ]
    echo '{"line":7,"id":"d1","code":"x","retry":false}' >ids
    expect_pipe 0 "registry-edit --ids=ids two.txt"
    [ "$output" = "$(sed -n 1p two.txt)" ]
    printf 'd1\nnowhere\n' >ids
    expect_pipe 0 "registry-edit --ids=ids two.txt"
    has "1 of 2 ids were not in the input"
    : >ids
    expect_status 3 registry-edit --ids=ids two.txt
    expect_status 4 registry-edit --ids=missing two.txt
    has "missing"
}

@test "each kind of bad line is one reject with its number, and the rest goes on" {
    {
        echo 'oops'
        echo '{"id":"a"'
        echo '[]'
        echo '{}'
        echo '{"id":7}'
        echo '{"id":""}'
        echo '{"id":"a b"}'
        printf '{"id":"%0129d"}\n' 0
        echo '{"id":"a","id":"b"}'
        echo '{"id":"a","tags":{},"tags":{}}'
        echo '{"id":"a","importMode":"zap"}'
        echo '{"id":"a","status":"maybe"}'
        printf '{"id":"a","x":"\377"}\n'
        printf '{"id":"a","x":"\300\200"}\n'
        printf '{"id":"a","x":"\001"}\n'
        printf '{"id":"a","x":"\000"}\n'
        echo '{"id":"a","x":[1,]}'
        echo '{"id":"a","x":01}'
        echo '{"id":"a","x":NaN}'
        printf '{"id":"a","x":%s1%s}\n' "$(printf '%0200d' 0 | tr 0 '[')" "$(printf '%0200d' 0 | tr 0 ']')"
        printf '{"id":"a"} {"id":"b"}\r\n'
        printf '\357\273\277{"id":"a"}'
    } >bad.txt
    { cat two.txt; cat bad.txt; } >mixed.txt
    expect_pipe 7 "registry-edit --rejects=rej mixed.txt 2>err >out"
    same two.txt out
    same bad.txt rej
    run cat err
    has "line 4: no JSON: unexpected byte at byte 1" "line 8: id is no string" \
        "line 12: id is there twice" "line 16: no JSON: invalid UTF-8 at byte 16" \
        "22 lines were refused; the first 20 are named"
    [ "$(stat -c %a rej)" = 600 ]
    expect_pipe 3 "registry-edit --rejects=rej bad.txt 2>err >out"
    [ ! -s out ]
    same bad.txt rej
}

@test "a line of more than 4 MiB is a reject, byte for byte, in small memory" {
    { head -n 1 two.txt
      printf '{"id":"big","x":"'; head -c 9000000 /dev/zero | tr '\0' x; printf '"}\n'
      tail -n 1 two.txt; } >long.txt
    expect_pipe 7 "registry-edit --rejects=rej <long.txt >out"
    has "line 2: the line is longer than 4 MiB"
    sed -n '1p;3p' two.txt >want
    same want out
    sed -n 2p long.txt >want
    same want rej
}

@test "no file takes the place of another, nor of the input; -o may" {
    printf '%s\n' '{"id":"a"}' '{"id":"b"}' >in.txt
    echo a >ids
    cp in.txt keep
    for run in "--rejects=in.txt in.txt" "--rejects=./in.txt" "-o ids --ids=ids" "--rejects=ids --ids=ids" \
        "-o x --rejects=x" "--rejects=-"; do
        expect_pipe 2 "registry-edit --mode=update $run <in.txt"
        cmp in.txt keep
        [ "$(cat ids)" = a ]
        [ ! -e x ]
    done
    expect_pipe 4 "registry-edit --mode=update --rejects=none/such <in.txt"
    expect_pipe 0 "registry-edit --mode=update -o in.txt <in.txt"
    [ "$(grep -c '"importMode":"update"' in.txt)" = 2 ]
}

@test "byte order mark, CRLF, empty lines and a last line without end" {
    printf '\357\273\277{"id":"a"}\r\n\n  \r\n{"id":"b"}' >odd.txt
    expect_pipe 0 "registry-edit odd.txt >out"
    printf '{"id":"a"}\r\n{"id":"b"}\n' >want
    same want out
}

@test "the warning above an export without keys is skipped, and said so" {
    expect_pipe 0 "(echo 'Warning: keys are not in this file'; cat two.txt) | registry-edit 2>err >out"
    same two.txt out
    grep -q 'line 1: skipped' err
    expect_pipe 7 "(cat two.txt; echo 'Warning: keys are not in this file') | registry-edit"
    has "line 4: no JSON"
}

@test "empty input is bad input" {
    for input in '' '\n\n' 'warning: no keys\n'; do
        expect_pipe 3 "printf '$input' | registry-edit"
        has "empty"
    done
}

@test "bad jq is a usage error; a jq error on a record is a reject without its keys" {
    expect_status 2 registry-edit --where '.tags |' two.txt
    has "registry-edit: --where: jq: "
    expect_status 2 registry-edit --set 'tags.x' two.txt
    has "is not PATH=JQ"
    expect_status 2 registry-edit --set 'tags.x= ' two.txt
    expect_pipe 3 "echo '{\"id\":\"a\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"SECRETSECRET\"}}}' |
        registry-edit --where '.authentication.symmetricKey.primaryKey + 1'"
    has "line 1: --where: " "cannot be added"
    has_not SECRET
}

@test "set cannot make what is no record" {
    expect_pipe 7 "registry-edit --set 'importMode=if \$id == \"d1\" then \"zap\" else \"create\" end' two.txt"
    has "line 1: unknown importMode" '"importMode":"create"'
    expect_status 2 registry-edit --set 'moduleId="x"' two.txt
    expect_pipe 7 "echo '{\"id\":\"d3\",\"tags\":7}' | cat - two.txt | registry-edit --set 'tags.x=1'"
    has "line 1: --set: something on the path is no object"
}

@test "the user's ~/.jq is not read, and imports may stand in front" {
    export HOME=$PWD
    echo 'def map(f): "evil"; def startswith(x): false;' >.jq
    expect_pipe 0 "registry-edit --where '.id | startswith(\"d\")' two.txt >out"
    same two.txt out
}

@test "an output file is complete or not there" {
    expect_pipe 0 "registry-edit -o new.txt two.txt"
    same two.txt new.txt
    [ "$(stat -c %a new.txt)" = 600 ]
    expect_pipe 0 "registry-edit --drop=eTag -o new.txt new.txt"
    [ "$(wc -l <new.txt)" -eq 3 ]
    expect_status 3 registry-edit -o new.txt /dev/null
    [ "$(wc -l <new.txt)" -eq 3 ]
    expect_status 4 registry-edit -o /nonexistent/x two.txt
    has "'/nonexistent/x': cannot be written: No such file"
    expect_status 4 registry-edit -o . two.txt
    has "is a directory"
    [ -z "$(find . -name '.*.*' -type f)" ]
}

@test "killed while it writes, it leaves no temporary file" {
    mkfifo in
    registry-edit -o out.txt in 3>&- &
    pid=$!
    exec 9>in
    head -n 1 two.txt >&9
    for ((i = 0; i < 100; i++)); do
        [ -n "$(find . -name '.out.txt.*')" ] && break
        sleep 0.02
    done
    [ -n "$(find . -name '.out.txt.*')" ]
    kill -TERM "$pid"
    run wait "$pid"
    exec 9>&-
    [ -z "$(find . -name '*out.txt*')" ]
}

@test "stdout full or closed is a local failure" {
    expect_pipe 4 "registry-edit two.txt >/dev/full"
    has "'stdout': write failed: No space left"
    expect_pipe 4 "registry-edit two.txt >&-"
    run bash -c "{ yes '{\"id\":\"a\"}' | head -n 200000 | registry-edit; echo \$? >st; } | head -n 1 >/dev/null; cat st"
    has "Broken pipe"
    [ "$(cat st)" = 4 ]
}

@test "a file of keys that others can read is worth one warning" {
    expect_pipe 0 "registry-edit two.txt >out"
    [ -z "$output" ]
    expect_pipe 0 "umask 022; registry-edit two.txt >out2"
    has "keys go into a file that others can read"
    [ "${#lines[@]}" -eq 1 ]
}

@test "python3's parser and ours agree on texts near JSON" {
    expect_status 0 "$ROOT/tests/fuzz/run" 3000 1
    has "3000 texts" " 0 not the same"
}
