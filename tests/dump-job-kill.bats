# dump-job-kill.bats: registry-dump by an export job, killed or
# interrupted.
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2154

load helper
load jobs
load dumpjob

@test "killed while the job runs: the next run goes on with it" {
    local id
    job_end hold
    registry-dump --via=job -o a.txt 2>/dev/null 3>&- &
    wait_begun
    id=$(hub GET /jobs | jq -r '.[0].jobId')
    sleep 0.2
    kill -9 $!
    wait $! || :
    [ -n "$(containers)" ]
    registry-dump --via=job -o a.txt 2>err 3>&- &
    sleep 0.3
    job_end release
    ended $!
    [ "$status" -eq 0 ]
    run cat err
    has "goes on with export job $id"
    same "$REST" a.txt
    [ -z "$(containers)" ]
    # With other options it is another dump: that job is cancelled.
    job_end hold
    registry-dump --via=job -o a.txt 2>/dev/null 3>&- &
    wait_begun
    id=$(hub GET /jobs | jq -r '.[0].jobId')
    sleep 0.2
    kill -9 $!
    wait $! || :
    registry-dump --via=job --exclude-keys -o b.txt 2>err 3>&- &
    sleep 0.5
    job_end release
    ended $!
    [ "$status" -eq 0 ]
    run cat err
    has "cancelled export job $id of a run that died" 'removed from'
    [ -z "$(containers)" ]
}

@test "killed between any two steps: nothing is left after the next run" {
    local at
    # The answer never comes, and the dump is killed.
    for at in 'method=PUT,path=/hubpipe-*export.json,do=hang' \
        'method=PUT,path=/hubpipe-*export.json,skip=1,do=hang' \
        'path=/jobs/create,do=hang' \
        'path=/jobs/create,do=delay:60000' \
        'method=PUT,path=/hubpipe-*export.json,skip=2,do=hang' \
        'method=GET,path=/jobs/*,skip=1,do=hang' \
        'method=HEAD,path=*/devices*,do=hang' \
        'method=GET,path=*/devices*,do=hang' \
        'method=DELETE,path=/hubpipe-*,do=hang'; do
        fault "$at"
        timeout -s KILL 1 registry-dump --via=job -o a.txt 2>err || :
        control DELETE faults
        expect_status 0 registry-dump --via=job -o a.txt
        same "$REST" a.txt
        [ -z "$(containers)" ] || {
            echo "left after $at: $(containers)"
            return 1
        }
    done
}

@test "interrupted: the job goes on, or is cancelled if asked" {
    local id
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    id=$(hub GET /jobs | jq -r '.[0].jobId')
    sleep 0.2
    kill -TERM $!
    ended $!
    [ "$status" -eq 5 ]
    run cat err
    has "export job $id goes on by itself"
    hub GET "/jobs/$id" | jq -e '.status | . == "running" or . == "enqueued"'
    registry-dump --via=job --cancel-on-interrupt -o a.txt 2>err 3>&- &
    until_said err 'goes on with'
    kill -TERM $!
    ended $!
    [ "$status" -eq 5 ]
    run cat err
    has "goes on with export job $id" "export job $id was cancelled"
    hub GET "/jobs/$id" | jq -e '.status == "cancelled"'
    [ -z "$(containers)" ]
}

@test "two runs find what a killed one has left: one has it, the other waits" {
    local one two
    job_end hold
    registry-dump --via=job -o a.txt 2>/dev/null 3>&- &
    wait_begun
    sleep 0.2
    kill -9 $!
    wait $! || :
    registry-dump --via=job -o one.txt 2>one.err 3>&- &
    one=$!
    registry-dump --via=job -o two.txt 2>two.err 3>&- &
    two=$!
    sleep 1
    job_end release
    ended "$one"
    [ "$status" -eq 0 ]
    ended "$two"
    [ "$status" -eq 0 ]
    same "$REST" one.txt
    same "$REST" two.txt
    run cat one.err two.err
    [ "$(grep -c 'goes on with export job' <<<"$output")" -eq 1 ]
    [ -z "$(containers)" ]
}
