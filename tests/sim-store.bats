# hub-sim's state: what was acknowledged stays, whatever happens.
# shellcheck shell=bash
load helper

@test "kill -9 under load, a hundred times: all that was acknowledged, nothing by half" {
    expect_status 0 "$ROOT/tests/kill-sim" 100
    has "100 kills"
}
