# hub-failover on the night when the region is sick: nothing that is asked
# beforehand stops it or holds it up for long.  What hangs here hangs for ever:
# a tool that waited for it would be ended by timeout(1), with 124.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "keys and consumer groups hang: unknown beforehand, asked for again afterwards" {
    sim 0 -- 'fault "path=*/listkeys,count=1,do=hang
path=*/ConsumerGroups,count=1,do=hang
path=*/IotHubStats,count=1,do=hang"
        ended timeout 20 hub-failover --every=0.1 --confirm=contoso --to=eastus --check-timeout=0.5 --report=r.json contoso
        jq -c "[.result, .devices, (.consumerGroups | length), .seconds.firstCall != null]" r.json'
    has "number of devices unknown" "ended 0" '["done",0,3,true]' "consumer group analytics"
}

@test "a second start while keys hang, as in a real failover, watches at once" {
    for position in hang delay answer; do
        rm -rf state r.json second
        sim 0 --operation-ms=60000 --doubt "failover-keys=$position" -- 'go --to=eastus >one 2>&1 & await begun
            (await grep -q watching second; after 70) &
            ended timeout 20 hub-failover --every=0.1 --confirm=contoso --to=eastus --journal=other --report=r.json contoso 2>second
            wait
            asked POST /failover$; jq -c "[.result, .began, .endpointBefore == null, (.consumerGroups | length)]" r.json'
        has $'ended 0\n1' '["done",null,' ',3]'
        grep -q "a failover is under way; watching it" second
    done
}

@test "Resource Manager is down: nothing is known, and it is asked all the same" {
    sim 0 -- 'fault "host=management*,method=GET,count=3,do=hang"
        ended timeout 20 hub-failover --every=0.1 --confirm=contoso --to="east us" -g west-rg --check-timeout=0.6 contoso; asked POST /failover$'
    has "state unknown in an unknown region" "number of devices unknown" "has moved from its other region to eastus"
    [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 0 1" ]
    rm -r state
    # It is looked for only without -g; and then nobody knows where to.
    sim 0 -- 'fault "host=management*,method=GET,count=0,do=status:503"
        ended go --to=eastus --check-timeout=0.5; ended go --back -g west-rg --check-timeout=0.5; ended go --to=eastus -n -g west-rg --check-timeout=0.5 >plan
        cat plan; asked POST /failover$'
    has "nobody says where it is (give -g GROUP, or its resource id" "nobody says where it is now (--to names the region)" \
        '"state": null' '"devices": null'
    [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 5 ended 5 ended 0 0" ]
}

@test "it was there already, and nobody had said so: not moved back" {
    sim 0 -- 'go --to=eastus >/dev/null 2>&1; fault "host=management*,method=GET,count=2,do=status:503"
        ended go --to=eastus -g west-rg --ignore-limits --check-timeout=0.5; asked POST /failover$; fo -n --to=eastus | jq -r .from'
    has "is in eastus already"
    [ "$(grep -x 'ended.*\|[0-9]\|eastus' <<<"$output" | paste -sd' ')" = "ended 0 2 eastus" ]
}

@test "login hangs, or fails, or is az that hangs: the checks keep to their time" {
    sim 0 -- 'fault "host=login*,count=0,do=hang"
        ended timeout 20 hub-failover -n --to=eastus -g west-rg --check-timeout=0.5 contoso
        ended timeout 20 hub-failover -n --to=eastus --check-timeout=0.5 contoso
        mend; fault "host=login*,count=0,do=status:503"
        ended timeout 20 hub-failover -n --to=eastus -g west-rg --check-timeout=0.5 contoso'
    has "state unknown" "nobody says where it is"
    [ "$(grep -x 'ended.*' <<<"$output" | paste -sd' ')" = "ended 0 ended 5 ended 0" ]
    mkdir bin
    printf '#!/bin/sh\ntouch az-ran; exec sleep 60\n' >bin/az
    chmod +x bin/az
    sim 0 --fault "host=169.254.*,count=0,do=status:404" -- 'unset AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_TENANT_ID; export PATH=$PWD/bin:$PATH
        ended timeout 20 hub-failover -n --to=eastus -g west-rg --check-timeout=1 contoso; ls az-ran'
    has "state unknown" "ended 0" az-ran
    no_post
}

@test "login fails when the request would go: nothing is begun, and nothing is in doubt" {
    sim 0 -- 'fault "host=login*,count=0,do=status:400"; ended go --to=eastus -g west-rg --check-timeout=1; asked POST /failover$'
    has "login failed" $'ended 6\n0'
    # One whose token is refused in between gets another.
    sim 0 -- 'fault "path=*/failover,do=expired
method=GET,path=*/contoso,skip=3,do=expired
path=*/operationResults/*,do=expired"
        ended go --to=eastus; asked POST /login; asked POST /token; asked POST /failover$'
    has "ended 0" "has moved from westus to eastus"
    [ "$(tail -2 <<<"$output" | paste -sd' ')" = "4 2" ]
}

@test "names that nobody resolves do not hold it up" {
    cat >slow.c <<'EOC'
#include <netdb.h>
#include <unistd.h>
int
getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r)
{
	(void)n, (void)s, (void)h, (void)r;
	sleep(600);
	return EAI_AGAIN;
}
EOC
    gcc -shared -fPIC -o slow.so slow.c
    export AZURE_TENANT_ID=t AZURE_CLIENT_ID=c AZURE_CLIENT_SECRET=s AZURE_SUBSCRIPTION_ID=11111111-1111-1111-1111-111111111111
    [ -z "$HUBPIPE_CONNECT_TO" ]
    LD_PRELOAD=$PWD/slow.so expect_status 0 timeout 20 hub-failover -n --to=eastus -g west-rg --check-timeout=0.5 contoso
    has "state unknown" '"allowedFrom": null'
}

@test "the network is gone in the middle of the watch, and when the data plane is probed" {
    sim 0 --operation-ms=1500 -- 'fault "after=0,method=GET,host=management*,skip=6,count=14,do=cut
path=*/statistics/devices,count=3,do=cut"
        ended go --to=eastus >lines; cat lines; asked POST /failover$; jq -r .fault log | grep -c cut'
    has "no answer: " "watching on" "has moved from westus to eastus" "ended 0" $'1\n17'
}

@test "the request cannot leave: tried until it can, and sent once" {
    # A door in front of the world that shuts once the keys were asked for.
    cat >door.py <<'EOP'
import os, socket, threading, time
host, port = os.environ["HUBPIPE_CONNECT_TO"].rsplit(":", 1)
inside = []
def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(door):
    while True:
        try:
            a, _ = door.accept()
        except OSError:
            return
        b = socket.create_connection((host, int(port)))
        inside.extend((a, b))
        threading.Thread(target=copy, args=(a, b), daemon=True).start()
        threading.Thread(target=copy, args=(b, a), daemon=True).start()
def bound(where):
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", where))
    return door
def opened(door):
    door.listen(64)
    threading.Thread(target=serve, args=(door,), daemon=True).start()
    return door
door = opened(bound(0))
number = door.getsockname()[1]
print(number, flush=True)
while "listkeys" not in open("log").read():
    time.sleep(0.02)
door.shutdown(socket.SHUT_RDWR)
door.close()
door = bound(number)  # shut, and no other program's
for s in inside:
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
time.sleep(1)
opened(door)
time.sleep(600)
EOP
    sim 0 -- 'fault "path=*/IotHubStats,do=delay:1500"; touch log; python3 door.py >port & door=$!; await test -s port
        HUBPIPE_CONNECT_TO=127.0.0.1:$(cat port) ended go --to=eastus -g west-rg; kill $door; asked POST /failover$'
    has "nothing could be asked yet" "trying on" "has moved from westus to eastus" $'ended 0\n1'
}
