#!/usr/bin/env bats
# The blob service of hub-sim, as curl sees it (CONTRACT 17).

load helper

KEY='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

setup_file() {
    sim_start --from "$ROOT/examples/contoso.json"
    (
        B=http://$HUBPIPE_CONNECT_TO/devstoreaccount1
        S=$(account_sas rwdlac)
        curl -sS -X PUT -H 'Content-Length: 0' "$B/files?restype=container&$S"
    )
}

teardown_file() {
    sim_stop
}

setup() {
    B=http://${HUBPIPE_CONNECT_TO-}/devstoreaccount1
    S=$(account_sas rwdlac)
    export B S
    cd "$BATS_TEST_TMPDIR" || return
}

url_encoded() {
    local text=${1//+/%2B}
    text=${text//\//%2F}
    printf %s "${text//=/%3D}"
}

# account_sas PERMISSIONS [TYPES [SERVICES]]: of the emulator's account.
account_sas() {
    local sig
    sig=$(printf '%s\n' devstoreaccount1 "$1" "${3-b}" "${2-sco}" '' \
        2090-01-01T00:00:00Z '' '' 2021-12-02 '' | hmac "$KEY")
    printf 'sv=2021-12-02&ss=%s&srt=%s&sp=%s&se=2090-01-01T00:00:00Z&sig=%s' \
        "${3-b}" "${2-sco}" "$1" "$(url_encoded "$sig")"
}

# container_sas CONTAINER PERMISSIONS [START [EXPIRY]]
container_sas() {
    local se=${4-2090-01-01T00:00:00Z} sig
    sig=$(printf '%s\n%s\n%s\n/blob/devstoreaccount1/%s\n\n\n\n2021-12-02\nc' \
        "$2" "${3-}" "$se" "$1" | cat - <(printf '\n\n\n\n\n\n\n') |
        hmac "$KEY")
    printf 'sv=2021-12-02&sr=c&sp=%s&st=%s&se=%s&sig=%s' "$2" "${3-}" "$se" \
        "$(url_encoded "$sig")"
}

# ask METHOD PATH [CURL...]: status and headers, a blank line, the body.
ask() {
    local method=$1 path=$2
    shift 2
    case $method in
    HEAD) set -- -I "$@" ;;
    PUT) set -- -X PUT -H 'Expect:' "$@" ;;
    *) set -- -X "$method" "$@" ;;
    esac
    curl -sS -i --path-as-is --globoff "$@" "$B$path" | tr -d '\r'
}

# put NAME [CURL...]: a block blob of stdin, in the container of this file.
put() {
    local name=$1
    shift
    ask PUT "/files/$name?$S" -H 'x-ms-blob-type: BlockBlob' \
        --data-binary @- -H 'Content-Type: text/plain' "$@"
}

arm() {
    local method=$1 path=$2 token url
    shift 2
    token=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" \
        -d "grant_type=client_credentials&client_id=$AZURE_CLIENT_ID" \
        -d "client_secret=$AZURE_CLIENT_SECRET" \
        -d scope=https://management.azure.com/.default \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token)
    url=https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID
    url+=/resourceGroups/west-rg/providers/Microsoft.Storage/storageAccounts
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" -X "$method" \
        -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        "$@" "$url/$path?api-version=2023-05-01"
}

# account: the name of the template's.
account() {
    local name=${STORAGE_ACCT_CONN_STRING#*AccountName=}
    printf %s "${name%%;*}"
}

# real METHOD PATH [CURL...]: the account of the template, by its key.
real() {
    local method=$1 path=$2 account key date query headers resource
    shift 2
    account=$(account)
    key=$(grep -o 'AccountKey=[^;]*' <<<"$STORAGE_ACCT_CONN_STRING")
    date=$(date -u '+%a, %d %b %Y %H:%M:%S GMT')
    query=
    [[ $path == *\?* ]] && query=${path#*\?}
    resource="/$account${path%%\?*}"
    [ -z "$query" ] || resource+=$'\n'$(tr '&' '\n' <<<"$query" | sort |
        sed 's/=/:/')
    headers=$'x-ms-date:'$date$'\nx-ms-version:2021-12-02\n'
    sig=$(printf '%s\n\n\n\n\n\n\n\n\n\n\n\n%s%s' "$method" "$headers" \
        "$resource" | hmac "${key#*=}")
    curl -sS -i --connect-to "::$HUBPIPE_CONNECT_TO" -X "$method" \
        -H "x-ms-date: $date" -H 'x-ms-version: 2021-12-02' \
        -H 'Content-Type:' -H 'Content-Length: 0' \
        -H "Authorization: SharedKey $account:$sig" "$@" \
        "https://$account.blob.core.windows.net$path" | tr -d '\r'
}

@test "the account's key: the signatures of CONTRACT 17.1" {
    # shellcheck disable=SC2016 # for the inner shell
    script='b=http://$HUBPIPE_CONNECT_TO/devstoreaccount1/devicefiles
        d="x-ms-date: Tue, 14 Nov 2023 22:13:20 GMT"
        a="Authorization: SharedKey devstoreaccount1:"
        curl -sS -w "%{http_code}\n" -X PUT -H "Content-Length: 0" -H "$d" \
            -H "x-ms-version: 2021-12-02" "$b?restype=container" \
            -H "${a}3orBn5egxJ6L684JusVV6Ox+YfXeC+hcNT+ejDHM8o0="
        curl -sS -w "%{http_code}\n" -X PUT -d "hello world" -H "$d" \
            -H "x-ms-version: 2021-12-02" -H "x-ms-blob-type: BlockBlob" \
            -H "Content-Type: text/plain" "$b/devices.txt" \
            -H "${a}vWvAIpyPFrljBrkhNtcaxSzn06/4m2aPPFkb570K+t4="
        curl -sS -w "%{http_code}\n" -X PUT -d "hello w0rld" -H "$d" \
            -H "x-ms-version: 2021-12-02" -H "x-ms-blob-type: AppendBlob" \
            -H "Content-Type: text/plain" "$b/devices.txt" \
            -H "${a}vWvAIpyPFrljBrkhNtcaxSzn06/4m2aPPFkb570K+t4="'
    back=$((1700000000 - $(date +%s)))
    expect_status 0 hub-sim --clock "$back" -- sh -c "$script"
    [ "${lines[0]}" = 201 ]
    [ "${lines[1]}" = 201 ]
    has '<Code>AuthenticationFailed</Code>' 'Server used following string' \
        x-ms-blob-type:AppendBlob
    [ "${lines[-1]##*>}" = 403 ]
    # Fifteen minutes are enough for any clock.
    for off in 840 -840; do
        expect_status 0 hub-sim --clock "$((back + off))" -- sh -c "$script"
        [ "${lines[0]}" = 201 ]
    done
    for off in 960 -960; do
        expect_status 0 hub-sim --clock "$((back + off))" -- sh -c "$script"
        has 'The date header in the request is incorrect'
        has '</Error>403'
        has_not '201
'
    done
}

@test "SAS: the signatures of CONTRACT 17.2, and their time" {
    # shellcheck disable=SC2016 # for the inner shell
    script='b=http://$HUBPIPE_CONNECT_TO/devstoreaccount1/devicefiles
        curl -sS -X PUT -H "Content-Length: 0" "$b?restype=container&$S"
        t="sr=c&sp=rwdl&se=2030-01-01T00%3A00%3A00Z&sig="
        new="sv=2021-12-02&${t}R%2F07TFE6feCc3iHzM4IZdCBhDpRuKYoOllxZ5vPQSbs%3D"
        old="sv=2018-11-09&${t}l%2BPRVOlX76vIK87Fph51iJOTFTW4YX7lHxqjlKZWg%2F4%3D"
        curl -sS -X PUT -d one -H "x-ms-blob-type: BlockBlob" "$b/a?$new"
        curl -sS -w "\n" "$b/a?$old"
        curl -sS "$b/a?${old}x"'
    expect_status 0 hub-sim -- sh -c "$script"
    [ "${lines[0]}" = one ]
    has 'Signature did not match. String to sign used was rwdl' \
        /blob/devstoreaccount1/devicefiles
    expect_status 0 hub-sim --clock "$((1893456000 - $(date +%s) + 5))" -- \
        sh -c "$script"
    has 'Signature not valid in the specified time frame' \
        'Expiry [Tue, 01 Jan 2030 00:00:00 GMT]'
}

@test "SAS: letters, types and services" {
    echo content | put letters
    for letters in w d l c; do
        run ask GET "/files/letters?$(container_sas files $letters)"
        has 'HTTP/1.1 403' 'x-ms-error-code: AuthorizationPermissionMismatch'
    done
    run ask GET "/files/letters?$(container_sas files r)"
    has 'HTTP/1.1 200' content
    run ask GET "/files/letters?$(container_sas other r)"
    has 'x-ms-error-code: AuthenticationFailed'
    run ask DELETE "/files?restype=container&$(container_sas files racwdl)"
    has 'x-ms-error-code: AuthorizationPermissionMismatch'
    run ask GET "/files?restype=container&comp=list&$(container_sas files l)"
    has 'HTTP/1.1 200' '<Name>letters</Name>'
    run ask GET "/files/letters?$(container_sas files r 2089-01-01)"
    has 'Signature not valid in the specified time frame'
    run ask GET "/files/letters?$(account_sas r sc)"
    has 'x-ms-error-code: AuthorizationResourceTypeMismatch'
    run ask GET "/files/letters?$(account_sas r sco qt)"
    has 'x-ms-error-code: AuthorizationServiceMismatch'
    run ask GET "/files/letters?$(account_sas w)"
    has 'x-ms-error-code: AuthorizationPermissionMismatch'
}

@test "who says nothing is challenged, or told that there is nothing" {
    echo secret | put quiet
    run ask GET /files/quiet -H 'x-ms-version: 2021-12-02'
    has 'HTTP/1.1 401' 'x-ms-error-code: NoAuthenticationInformation' \
        'WWW-Authenticate: Bearer authorization_uri=' \
        resource_id=https://storage.azure.com
    run ask GET /files/quiet
    has 'HTTP/1.1 404' '<Code>ResourceNotFound</Code>'
    has_not secret
    account=$(account)
    run curl -sS -i --connect-to "::$HUBPIPE_CONNECT_TO" \
        "https://$account.blob.core.windows.net/results/x"
    has 'HTTP/1.1 409' '<Code>PublicAccessNotPermitted</Code>'
    run ask GET /files/quiet -H 'Authorization: Basic eDp5'
    has 'HTTP/1.1 400' InvalidAuthenticationInfo
    run ask GET /files/quiet -H 'Authorization: Bearer nonsense'
    has 'HTTP/1.1 401' InvalidAuthenticationInfo AuthenticationErrorDetail
}

@test "a public container is read by anyone, and written by nobody" {
    run ask PUT "/open?restype=container&$S" -H 'Content-Length: 0' \
        -H 'x-ms-blob-public-access: blob'
    has 'HTTP/1.1 201'
    run ask PUT "/open/a?$S" -d hello -H 'x-ms-blob-type: BlockBlob'
    has 'HTTP/1.1 201'
    run ask GET /open/a
    has 'HTTP/1.1 200' hello
    run ask GET '/open?restype=container&comp=list'
    has 'HTTP/1.1 404'
    run ask PUT "/open?restype=container&comp=acl&$S" -H 'Content-Length: 0' \
        -H 'x-ms-blob-public-access: container'
    has 'HTTP/1.1 200'
    run ask GET '/open?restype=container&comp=list'
    has 'HTTP/1.1 200' '<Name>a</Name>'
    run ask GET "/open?restype=container&comp=acl&$S"
    has 'x-ms-blob-public-access: container' '<SignedIdentifiers/>'
    run ask DELETE /open/a
    has 'HTTP/1.1 404'
    run ask GET /open/a
    has hello
}

@test "every answer has its number, and failures their form" {
    run ask GET "/files/none?$S" -H 'x-ms-client-request-id: mine-17' \
        -H 'x-ms-version: 2023-11-03'
    has 'HTTP/1.1 404' 'x-ms-client-request-id: mine-17' \
        'x-ms-version: 2023-11-03' 'Content-Type: application/xml' \
        'x-ms-error-code: BlobNotFound' '<?xml version="1.0"' \
        '<Error><Code>BlobNotFound</Code><Message>The specified blob does'
    id=$(sed -n 's/^x-ms-request-id: //p' <<<"$output")
    has "RequestId:$id"
    run ask HEAD "/files/none?$S"
    has 'x-ms-error-code: BlobNotFound'
    has_not '<Error>'
    run ask GET "/none/none?$S"
    has '<Code>ContainerNotFound</Code>'
    run ask GET "/files/none?$S" -H 'x-ms-version: latest'
    has 'HTTP/1.1 400' InvalidHeaderValue \
        '<HeaderName>x-ms-version</HeaderName>'
    run ask POST "/files/none?$S" -d x
    has 'HTTP/1.1 405' UnsupportedHttpVerb
}

@test "ranges" {
    printf 0123456789 | put digits
    run ask GET "/files/digits?$S" -H 'Range: bytes=2-4'
    has 'HTTP/1.1 206' 'Content-Range: bytes 2-4/10' 'Content-Length: 3'
    [ "${lines[-1]}" = 234 ]
    # The service's own header goes before that of HTTP.
    run ask GET "/files/digits?$S" -H 'Range: bytes=0-1' \
        -H 'x-ms-range: bytes=7-'
    has 'Content-Range: bytes 7-9/10'
    [ "${lines[-1]}" = 789 ]
    run ask GET "/files/digits?$S" -H 'x-ms-range: bytes=8-99'
    [ "${lines[-1]}" = 89 ]
    run ask GET "/files/digits?$S" -H 'x-ms-range: bytes=10-'
    has 'HTTP/1.1 416' '<Code>InvalidRange</Code>' 'Content-Range: bytes */10'
    for bad in bytes=-5 bytes=5-2 bytes=-1--1 bytes=a-b 0-5 bytes=0x1-2 \
        bytes=1-2,4-5 bytes=99999999999999999999999999999999999999999999-; do
        run ask GET "/files/digits?$S" -H "x-ms-range: $bad"
        [[ $output == "HTTP/1.1 4"* ]]
        has_not 0123456789
    done
    run ask HEAD "/files/digits?$S"
    has 'HTTP/1.1 200' 'Content-Length: 10' 'Accept-Ranges: bytes' \
        'x-ms-blob-type: BlockBlob' 'x-ms-server-encrypted: true' \
        'Content-Type: text/plain' 'ETag: "0x8D'
    [ "$(grep -ci '^content-type:' <<<"$output")" -eq 1 ]
}

@test "what is sent is checked by its MD5" {
    run put sum -H "Content-MD5: $(printf other | openssl md5 -binary |
        base64)" <<<hello
    has 'HTTP/1.1 400' '<Code>Md5Mismatch</Code>'
    run put sum -H 'Content-MD5: abc' <<<hello
    has '<Code>InvalidMd5</Code>'
    run ask HEAD "/files/sum?$S"
    has 'HTTP/1.1 404'
    sum=$(openssl md5 -binary <<<hello | base64)
    run put sum -H "Content-MD5: $sum" <<<hello
    has 'HTTP/1.1 201' "Content-MD5: $sum"
    run ask HEAD "/files/sum?$S"
    has "Content-MD5: $sum"
}

@test "conditions" {
    run put cond <<<one
    etag=$(sed -n 's/^ETag: //p' <<<"$output")
    when=$(sed -n 's/^Last-Modified: //p' <<<"$output")
    run put cond -H 'If-None-Match: *' <<<two
    has 'HTTP/1.1 409' '<Code>BlobAlreadyExists</Code>'
    run put fresh -H 'If-Match: *' <<<two
    has 'HTTP/1.1 412' '<Code>ConditionNotMet</Code>'
    run ask GET "/files/cond?$S" -H "If-None-Match: $etag"
    has 'HTTP/1.1 304' "ETag: $etag"
    has_not one
    run ask GET "/files/cond?$S" -H "If-Modified-Since: $when"
    has 'HTTP/1.1 304'
    run ask GET "/files/cond?$S" -H "If-Unmodified-Since: $when"
    has 'HTTP/1.1 200' one
    run ask GET "/files/cond?$S" -H 'If-Modified-Since: yesterday'
    has 'HTTP/1.1 400' InvalidHeaderValue
    run ask DELETE "/files/cond?$S" -H 'If-Match: "0x8D0"'
    has 'HTTP/1.1 412'
    run ask DELETE "/files/cond?$S" -H "If-Match: $etag"
    has 'HTTP/1.1 202' 'x-ms-delete-type-permanent: true'
    run ask DELETE "/files/cond?$S"
    has 'HTTP/1.1 404'
}

@test "names lead nowhere but into their container" {
    for bad in /files/../files/x /files/%2e%2e/x /files/a/%2E%2e/b /files/.. \
        /files/a/./b /files/..%2fx /files/..%5cx /files/%00 /files/a%00b \
        /files/%ff /files/%zz /files/%2 //files/x; do
        run ask PUT "$bad?$S" -d x -H 'x-ms-blob-type: BlockBlob'
        echo "$bad"
        has 'HTTP/1.1 400'
    done
    for bad in /UPPER /a_b /-ab /ab- /a--b /a%2fb /%2e%2e%2e; do
        run ask PUT "$bad?restype=container&$S" -H 'Content-Length: 0'
        echo "$bad"
        has 'HTTP/1.1 400' InvalidResourceName
    done
    long=$(printf 'x%.0s' {1..1025})
    for bad in /ab "/${long:0:64}"; do
        run ask PUT "$bad?restype=container&$S" -H 'Content-Length: 0'
        has 'HTTP/1.1 400' OutOfRangeInput
    done
    run ask PUT "/files/$long?$S" -d x -H 'x-ms-blob-type: BlockBlob'
    has 'HTTP/1.1 400' OutOfRangeInput
    run ask PUT "/files/$(printf 'a/%.0s' {1..255})b?$S" -d x \
        -H 'x-ms-blob-type: BlockBlob'
    has 'HTTP/1.1 400' OutOfRangeInput
    run ask PUT "/files/${long:1}?$S" -d x -H 'x-ms-blob-type: BlockBlob'
    has 'HTTP/1.1 201'
    run ask GET "/files?restype=container&comp=list&prefix=../&$S"
    has '<Blobs></Blobs>'
}

@test "lists are good XML, whatever the names are" {
    run ask PUT "/odd?restype=container&$S" -H 'Content-Length: 0'
    for name in 'a%26b%3Cc%3E%22' "x'%3B%20DROP%20TABLE%20blob%3B--" '%25' \
        'tab%09' 'esc%1b' '%C3%BC' 'a//b' '%ef%bf%bf'; do
        run ask PUT "/odd/$name?$S" -d x -H 'x-ms-blob-type: BlockBlob'
        has 'HTTP/1.1 201'
        run ask GET "/odd/$name?$S"
        has 'HTTP/1.1 200'
    done
    curl -sS "$B/odd?restype=container&comp=list&$S" >list.xml
    python3 - list.xml >names <<'END'
import sys, urllib.parse, xml.etree.ElementTree as tree
for name in tree.parse(sys.argv[1]).iter('Name'):
    text = name.text
    if name.get('Encoded') == 'true':
        text = urllib.parse.unquote(text)
    print(ascii(text))
END
    cat >want <<'END'
'%'
'a&b<c>"'
'a//b'
'esc\x1b'
'tab\t'
"x'; DROP TABLE blob;--"
'\xfc'
'\uffff'
END
    same want names
}

@test "lists come in pages, and in folders" {
    run ask PUT "/pages?restype=container&$S" -H 'Content-Length: 0'
    for name in a/1 a/2 b c/1 c/d/2 e; do
        ask PUT "/pages/$name?$S" -d x -H 'x-ms-blob-type: BlockBlob'
    done >made
    list="/pages?restype=container&comp=list&$S"
    run ask GET "$list&maxresults=4"
    has '<MaxResults>4</MaxResults>' '<Name>c/1</Name>'
    has_not '<Name>c/d/2</Name>'
    marker=$(sed -n 's/.*<NextMarker>\(.*\)<.NextMarker>.*/\1/p' <<<"$output")
    run ask GET "$list&maxresults=4&marker=$(url_encoded "$marker")"
    has '<Name>c/d/2</Name>' '<Name>e</Name>' '<NextMarker/>'
    has_not '<Name>c/1</Name>'
    run ask GET "$list&delimiter=/"
    has '<BlobPrefix><Name>a/</Name></BlobPrefix>' '<Name>b</Name>' \
        '<BlobPrefix><Name>c/</Name></BlobPrefix>' '<Name>e</Name>' \
        '<Delimiter>/</Delimiter>'
    has_not '<Name>a/1</Name>'
    run ask GET "$list&delimiter=/&prefix=c/"
    has '<Name>c/1</Name>' '<Name>c/d/</Name>'
    run ask GET "$list&delimiter=/&maxresults=1"
    has '<Name>a/</Name>'
    marker=$(sed -n 's/.*<NextMarker>\(.*\)<.NextMarker>.*/\1/p' <<<"$output")
    run ask GET "$list&delimiter=/&maxresults=1&marker=$(url_encoded "$marker")"
    has '<Name>b</Name>'
    has_not '<Name>a/'
    for bad in maxresults=0 maxresults=-1 maxresults=x \
        maxresults=99999999999999999999 marker=x 'marker=2!%%%%'; do
        run ask GET "$list&$bad"
        echo "$bad"
        has 'HTTP/1.1 400'
    done
}

@test "blocks become a blob in the order of their list, once" {
    id() { printf 'block%s' "$1" | base64; }
    for n in 1 2 3; do
        run ask PUT "/files/cut?comp=block&blockid=$(id $n)&$S" -d "part$n"
        has 'HTTP/1.1 201'
    done
    run ask GET "/files?restype=container&comp=list&prefix=cut&$S"
    has '<Prefix>cut</Prefix>'
    has_not '<Name>cut</Name>'
    run ask GET "/files?restype=container&comp=list&prefix=cut&$S&include=uncommittedblobs"
    has '<Name>cut</Name>'
    list="<?xml version='1.0'?><BlockList><Latest>$(id 3)</Latest>"
    list+="<Uncommitted>$(id 1)</Uncommitted></BlockList>"
    run ask PUT "/files/cut?comp=blocklist&$S" -d "$list"
    has 'HTTP/1.1 201'
    run ask GET "/files/cut?$S"
    [ "${lines[-1]}" = part3part1 ]
    # The block that was not chosen is gone.
    list="<BlockList><Latest>$(id 2)</Latest></BlockList>"
    run ask PUT "/files/cut?comp=blocklist&$S" -d "$list"
    has 'HTTP/1.1 400' '<Code>InvalidBlockList</Code>'
    for bad in '' '<BlockList>' '<BlockList><Latest>AAAA</BlockList>' \
        '<List/>' "<BlockList><Other>$(id 1)</Other></BlockList>" \
        '<BlockList></BlockList>x' '{}' '<BlockList><Latest>%</Latest></BlockList>' \
        '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><BlockList/>' \
        "$(printf '<BlockList><Latest>%s' "$(printf 'A%.0s' {1..9000})")"; do
        run ask PUT "/files/cut?comp=blocklist&$S" -d "$bad"
        echo "${bad:0:80}"
        has 'HTTP/1.1 400'
    done
    for bad in '' %20 AAA 'A%3D%3D%3D' '!!!!' \
        "$(printf 'AAAA%.0s' {1..22})"; do
        run ask PUT "/files/cut?comp=block&blockid=$bad&$S" -d x
        echo "$bad"
        has 'HTTP/1.1 400'
    done
    run ask GET "/files/cut?$S"
    [ "${lines[-1]}" = part3part1 ]
}

@test "append blobs" {
    run ask PUT "/files/log?$S" -H 'x-ms-blob-type: AppendBlob' \
        -H 'Content-Length: 0'
    has 'HTTP/1.1 201'
    run ask PUT "/files/log?comp=appendblock&$S" -d one,
    has 'x-ms-blob-append-offset: 0'
    run ask PUT "/files/log?comp=appendblock&$S" -d two \
        -H 'x-ms-blob-condition-appendpos: 4'
    has 'x-ms-blob-append-offset: 4' 'x-ms-blob-committed-block-count: 2'
    run ask PUT "/files/log?comp=appendblock&$S" -d x \
        -H 'x-ms-blob-condition-appendpos: 4'
    has 'HTTP/1.1 412' AppendPositionConditionNotMet
    head -c $((4 * 1024 * 1024 + 1)) /dev/zero >large
    run ask PUT "/files/log?comp=appendblock&$S" --data-binary @large \
        -H 'x-ms-version: 2021-12-02'
    has 'HTTP/1.1 413' RequestBodyTooLarge '<MaxLimit>4194304</MaxLimit>'
    run ask GET "/files/log?$S"
    [ "${lines[-1]}" = one,two ]
    run ask PUT "/files/log?$S" -d x -H 'x-ms-blob-type: AppendBlob'
    has 'HTTP/1.1 400'
}

@test "what is not simulated says so, what is not there does too" {
    echo x | put here
    for comp in lease snapshot tier tags page undelete query; do
        run ask PUT "/files/here?comp=$comp&$S" -H 'Content-Length: 0'
        has 'HTTP/1.1 501' 'hub-sim does not simulate'
    done
    run ask PUT "/files/here?comp=nonsense&$S" -H 'Content-Length: 0'
    has 'HTTP/1.1 400' InvalidQueryParameterValue \
        '<QueryParameterValue>nonsense</QueryParameterValue>'
    run ask PUT "/files/copy?$S" -H 'Content-Length: 0' \
        -H "x-ms-copy-source: $B/files/here"
    has 'HTTP/1.1 501'
    run ask PUT "/files/page?$S" -H 'x-ms-blob-type: PageBlob' \
        -H 'Content-Length: 0'
    has 'HTTP/1.1 501'
    run ask PUT "/files/type?$S" -d x
    has 'HTTP/1.1 400' '<HeaderName>x-ms-blob-type</HeaderName>'
    run ask GET "/files/here?restype=nonsense&$S"
    has 'HTTP/1.1 400'
    run ask PUT "/files/here?$S" -d y -H 'x-ms-blob-type: BlockBlob' \
        -H 'x-ms-lease-id: 1'
    has 'HTTP/1.1 412' LeaseNotPresentWithBlobOperation
    run ask GET "/files/here?$S"
    has $'\nx'
}

@test "a body that is shorter than it says makes no blob" {
    # send NAME LENGTH: five bytes that are said to be so many.
    send() {
        printf 'PUT /devstoreaccount1/files/%s?%s HTTP/1.1\r\nHost: 127.0.0.1\r\nx-ms-blob-type: BlockBlob\r\nContent-Length: %s\r\n\r\nhello' \
            "$1" "$S" "$2" | timeout 5 curl -sS --max-time 1 "telnet://$HUBPIPE_CONNECT_TO"
    }
    run send whole 5
    run send short 100
    run ask HEAD "/files/whole?$S"
    has 'HTTP/1.1 200'
    run ask HEAD "/files/short?$S"
    has 'HTTP/1.1 404'
}

@test "the connection string of the template's account" {
    [[ $STORAGE_ACCT_CONN_STRING == "DefaultEndpointsProtocol=https;"* ]]
    run real PUT '/fromkey?restype=container'
    has 'HTTP/1.1 201'
    run real GET '/?comp=list'
    has '<Name>fromkey</Name>'
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim -- sh -c 'echo "[$STORAGE_ACCT_CONN_STRING]"'
    [ "$output" = "[]" ]
}

@test "a container is one thing, by whichever door" {
    account=$(account)
    run real PUT '/door1?restype=container' -H 'x-ms-meta-no: 1'
    has 'HTTP/1.1 403' # the header was not signed
    run real PUT '/door1?restype=container'
    has 'HTTP/1.1 201'
    run arm GET "$account/blobServices/default/containers/door1"
    [ "$(jq -r .name <<<"$output")" = door1 ]
    etag=$(jq -r .etag <<<"$output")
    run real HEAD '/door1?restype=container' -I
    has "ETag: $etag"
    run arm PUT "$account/blobServices/default/containers/door2" \
        -d '{"properties":{"metadata":{"by":"arm"}}}'
    run real GET '/?comp=list'
    has '<Name>door1</Name>' '<Name>door2</Name>'
    run real PUT '/door2?restype=container'
    has 'HTTP/1.1 409' '<Code>ContainerAlreadyExists</Code>'
    run real HEAD '/door2?restype=container' -I
    has 'x-ms-meta-by: arm'
    # What is deleted there takes its blobs with it.
    run real PUT '/door2/x?comp=block&blockid=AAAA' -H 'Content-Length:' -d y
    run arm DELETE "$account/blobServices/default/containers/door2"
    run real GET '/door2?comp=list&restype=container'
    has '<Code>ContainerNotFound</Code>'
    run real DELETE '/door1?restype=container'
    has 'HTTP/1.1 202'
    run arm GET "$account/blobServices/default/containers/door1"
    has ResourceNotFound
}

@test "what is deleted is kept, if the account says so" {
    account=$(account)
    run real GET '/?restype=service&comp=properties'
    has '<DeleteRetentionPolicy><Enabled>false</Enabled>'
    run arm GET "$account/blobServices/default"
    [ "$(jq .properties.deleteRetentionPolicy.enabled <<<"$output")" = false ]
    run arm PUT "$account/blobServices/default" -d \
        '{"properties":{"isVersioningEnabled":true,"deleteRetentionPolicy":{"enabled":true,"days":9}}}'
    run arm GET "$account/blobServices/default"
    [ "$(jq .properties.isVersioningEnabled <<<"$output")" = true ]
    run real GET '/?restype=service&comp=properties'
    has '<DeleteRetentionPolicy><Enabled>true</Enabled><Days>9</Days>'
    arm DELETE "$account/blobServices/default"
}

# by_token TOKEN: a list of the real account's containers.
by_token() {
    curl -sS -i --connect-to "::$HUBPIPE_CONNECT_TO" \
        -H "Authorization: Bearer $1" -H 'x-ms-version: 2021-12-02' \
        "https://$(account).blob.core.windows.net/?comp=list"
}

@test "a token, and who may not" {
    token=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" \
        -d "grant_type=client_credentials&client_id=$AZURE_CLIENT_ID" \
        -d "client_secret=$AZURE_CLIENT_SECRET" \
        -d scope=https://storage.azure.com/.default \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token)
    account=$(account)
    run by_token "$token"
    has 'HTTP/1.1 200'
    run arm GET "$account"
    jq '.tags = {"hub-sim-deny": "blobs"}' <<<"$output" >denied.json
    run arm PUT "$account" -d @denied.json
    run by_token "$token"
    has 'HTTP/1.1 403' AuthorizationPermissionMismatch
    jq '.tags = {}' denied.json >open.json
    run arm PUT "$account" -d @open.json
    other=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" \
        -d "grant_type=client_credentials&client_id=$AZURE_CLIENT_ID" \
        -d "client_secret=$AZURE_CLIENT_SECRET" \
        -d scope=https://management.azure.com/.default \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token)
    run by_token "$other"
    has 'HTTP/1.1 401' 'Audience validation failed'
}

@test "a large blob needs little memory, and is gone after it was deleted" {
    head -c 8000000 /dev/urandom >part
    # shellcheck disable=SC2016 # for the inner shell
    script='b="http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc"
        curl -sS -X PUT -H "Content-Length: 0" "$b?restype=container&$S"
        list="<BlockList>"
        for n in AAAA BBBB CCCC DDDD EEEE FFFF; do
            curl -sS -X PUT --data-binary @part -H Expect: \
                "$b/x?comp=block&blockid=$n&$S"
            list="$list<Latest>$n</Latest><Latest>$n</Latest>"
        done
        curl -sS -X PUT -d "$list</BlockList>" "$b/x?comp=blocklist&$S"
        curl -sS "$b/x?$S" | sha256sum
        grep VmHWM "/proc/$HUB_SIM_PID/status"
        curl -sS -H "Range: bytes=7999990-8000009" "$b/x?$S" >middle
        curl -sS -X DELETE "$b/x?$S"'
    want=$(for n in {1..12}; do cat part; done | sha256sum)
    expect_status 0 hub-sim --db state.db -- sh -c "$script"
    [ "${lines[0]}" = "$want" ]
    # A sanitizer needs much more than the program.
    grep -q __asan_init "$(command -v hub-sim)" ||
        [ "$(tr -dc 0-9 <<<"${lines[1]}")" -lt 98304 ]
    cmp middle <(tail -c 10 part; head -c 10 part)
    # Whatever was left to do is done by the next run.
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --db state.db -- sh -c 'for n in 1 2 3 4 5; do
        curl -sS "http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc?restype=container&comp=list&$S" >list
        sleep 0.1; done; cat list'
    has '<Blobs></Blobs>'
    [ "$(python3 -c 'import sqlite3
print(sqlite3.connect("state.db").execute(
    "SELECT count(*) FROM blob_chunk").fetchone()[0])')" = 0 ]
}

@test "large blobs are there after kill -9, and take no room when they are gone" {
    head -c 3000000 /dev/urandom >part
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --db large.db -- sh -c '
        b="http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc"
        curl -sS -X PUT -H "Content-Length: 0" "$b?restype=container&$S"
        for n in x y; do
            curl -sS -X PUT --data-binary @part -H Expect: \
                -H "x-ms-blob-type: BlockBlob" "$b/$n?$S"
        done
        kill -9 "$HUB_SIM_PID"' || true
    [ "$(stat -c %a large.db-blobs)" = 600 ]
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --db large.db -- sh -c '
        b="http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc"
        curl -sS -X DELETE "$b/x?$S"
        curl -sS "$b/y?$S" | cmp - part
        for n in 1 2 3 4 5; do curl -sS "$b/y?$S" -o got -r 1000000-1999999; done
        tail -c +1000001 part | head -c 1000000 | cmp - got'
    [ "$output" = "" ]
    # Of two blobs one is left.
    [ "$(du -k large.db-blobs | cut -f1)" -lt 4000 ]
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --db large.db -- sh -c '
        b="http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc"
        curl -sS "$b/y?$S" | cmp - part
        curl -sS -X DELETE "$b/y?$S"
        for n in 1 2 3 4 5; do curl -sS "$b/y?$S" -o got; done'
    [ "$output" = "" ]
    [ "$(du -k large.db-blobs | cut -f1)" -lt 8 ]
    expect_status 0 hub-sim --db large.db -- true
    [ "$(stat -c %s large.db-blobs)" = 0 ]
}

@test "a disk that is full takes no large blob, and goes on with others" {
    # shellcheck disable=SC2016 # for the inner shell
    script='b="http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc"
        curl -sS -X PUT -H "Content-Length: 0" "$b?restype=container&$S"
        head -c 8000000 /dev/zero | curl -sS -o /dev/null -w "%{http_code} " -X PUT \
            --data-binary @- -H Expect: -H "x-ms-blob-type: BlockBlob" "$b/x?$S"
        curl -sS -o /dev/null -w "%{http_code} " "$b/x?$S"
        head -c 300000 /dev/zero | curl -sS -o /dev/null -w "%{http_code} " -X PUT \
            --data-binary @- -H Expect: -H "x-ms-blob-type: BlockBlob" "$b/y?$S"
        curl -sS "$b/y?$S" | wc -c
        du -k full.db-blobs | cut -f1'
    expect_status 0 bash -c 'trap "" XFSZ; ulimit -f 6000; HUB_SIM_RECORD= hub-sim --db full.db -- sh -c "$1"' - "$script"
    has "503 404 201 300000" "blobs: File too large"
    [ "${lines[-1]}" -lt 1000 ]
}

@test "blobs are there after a restart, as they were" {
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --db kept.db -- sh -c '
        b="http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc"
        curl -sS -X PUT -H "Content-Length: 0" "$b?restype=container&$S"
        curl -sS -X PUT -d kept -H "x-ms-blob-type: BlockBlob" \
            -H "x-ms-meta-why: test" "$b/x?$S"
        kill -9 "$HUB_SIM_PID"' || true
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --db kept.db -- sh -c '
        curl -sS -i "http://$HUBPIPE_CONNECT_TO/devstoreaccount1/ccc/x?$S"'
    has 'x-ms-meta-why: test' kept
}
