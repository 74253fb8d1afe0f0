# hmac.bash: for the tests and tests/matrix, which has no helper.bash.
# shellcheck shell=bash

# hmac KEY: of stdin, by a key in base64.
hmac() {
    local hex
    hex=$(printf %s "$1" | base64 -d | od -An -v -tx1 | tr -d ' \n')
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$hex" -binary | base64 -w0
}
