# drill.mk: a failover drill as a Makefile: a test hub is made, some devices are
# loaded, it fails over, the devices are compared, it fails back when the hour
# is over, they are compared again, and a report is written.
#
#   make -f drill.mk HUB=contoso-drill GROUP=drill-rg FROM=westus TO=eastus
#
# On Azure it takes some two hours.  To see it in seconds, with simulated time:
#
#   hub-sim --speed 600 --timing=real --token-seconds=1000000 -- \
#       make -f drill.mk EVERY=0.1
#
# Each step leaves a file, and a step that is done is not done again.  The hub
# stays; "make -f drill.mk clean" takes away the files.
HUB ?= contoso-drill
GROUP ?= drill-rg
FROM ?= westus
TO ?= eastus
# How often to look, in seconds.
EVERY ?= 5
# Devices as registry-dump writes them; without a file ten are made.
DEVICES ?= drill-devices.txt

SHELL = /bin/bash -o pipefail
.DELETE_ON_ERROR:
move = hub-failover -g $(GROUP) --every=$(EVERY) --confirm=$(HUB) --journal=drill.jsonl

define template
{ "$$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "resources": [ {
    "type": "Microsoft.Devices/IotHubs", "apiVersion": "2023-06-30", "name": "$(HUB)",
    "location": "$(FROM)", "sku": { "name": "S1", "capacity": 1 },
    "tags": { "purpose": "drill" }, "properties": {} } ] }
endef

define devices
range(10) | "drill-\(.)" as $$id | ($$id + "-" * 25 | @base64) as $$key |
    {id: $$id, status: "enabled", authentication: {type: "sas",
	symmetricKey: {primaryKey: $$key, secondaryKey: $$key}}}
endef

define report
.[] | "\(.hub): \(.from) to \(.to), begun \(.began), \(.result)",
    (.seconds | to_entries[] | "  \(.key)" + " " * (16 - (.key | length)) +
	if .value == null then "not seen" else "\(.value) s" end),
    "  built-in endpoint now \(.endpointAfter.endpoint)"
endef

define times
["part", "there", "back"], (.[0].seconds as $$a | .[1].seconds as $$b |
    ("endpointMoved", "active", "operation", "firstCall") |
    [., ($$a[.] // 0), ($$b[.] // 0)]) | @tsv
endef

define plot
set terminal png size 800,400; set output "drill.png"
set style data histograms; set style fill solid
set ylabel "seconds"; set yrange [0:*]
plot "times.tsv" using 2:xtic(1) title columnhead, "" using 3 title columnhead
endef
export template devices report times plot

# Without gnuplot the report has no picture, but all the numbers.
drill.txt: back-same.txt times.tsv
	jq -rs "$$report" there.json back.json > $@
	for way in there back; do echo "devices after $$way: $$(cat $$way-same.txt)"; done >> $@
	if printenv plot | gnuplot 2> plot.log; then echo "plot: drill.png" >> $@; fi
	cat $@

# Seconds until each part of the recovery, there and back.
times.tsv: back.json
	jq -rs "$$times" there.json back.json > $@

back-same.txt: back.json
	registry-diff --auth=login before.txt $(HUB) && echo the same > $@

back.json: there-same.txt
	$(move) --back --wait --report=$@ $(HUB) > back.jsonl

there-same.txt: there.json
	registry-diff --auth=login before.txt $(HUB) && echo the same > $@

there.json: before.txt
	$(move) --to=$(TO) --report=$@ $(HUB) > there.jsonl

before.txt: loaded
	registry-dump --auth=login -o $@ $(HUB)

loaded: deployed.json $(DEVICES)
	registry-load --auth=login $(HUB) < $(DEVICES) > $@

drill-devices.txt:
	jq -nc "$$devices" > $@

deployed.json:
	printenv template | tmpl-deploy -g $(GROUP) -o $@

.PHONY: clean
clean:
	rm -f drill.txt drill.png drill.jsonl times.tsv plot.log there* back* before.txt loaded drill-devices.txt deployed.json
