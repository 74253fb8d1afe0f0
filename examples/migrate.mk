# migrate.mk: a migration as a Makefile: each step leaves a file that can be
# looked at, and a step that is done is not done again.
#
#   make -f migrate.mk HUB=contoso FROM=west-rg TO=east-rg NEW=contoso-east REGION=eastus
#
# Try it first, with the template and the devices of your own hub:
#
#   hub-sim --from contoso.json --registry contoso.txt --sku S1 -- make -f migrate.mk
#
# Who logs in needs rights on both groups; the hubs' keys are fetched then.
HUB ?= contoso
FROM ?= west-rg
NEW ?= $(HUB)-east
TO ?= east-rg
REGION ?= eastus
# Options of registry-dump, -load and -diff, such as -j 16 or --share=80.
PACE ?=

SHELL = /bin/bash -o pipefail
.DELETE_ON_ERROR:

proved: loaded
	registry-diff $(PACE) $(HUB) $(NEW) > differences
	touch $@

loaded: registry.txt deployed.json
	registry-load $(PACE) --rejects=rejects.txt $(NEW) < registry.txt > outcomes
	touch $@

registry.txt:
	registry-dump $(PACE) -o $@ --manifest=registry.json $(HUB)

deployed.json: new.json
	key-inject new.json | tmpl-deploy -g $(TO) -o $@

new.json: old.json
	tmpl-rewrite --name $(NEW) --location $(REGION) -o $@ old.json

old.json:
	hub-export -g $(FROM) -o $@ $(HUB)

.PHONY: plan
plan: new.json
	key-inject new.json | tmpl-deploy -n -g $(TO)
