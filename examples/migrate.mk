# migrate.mk: a migration as a Makefile: each step leaves a file that can be
# looked at, and a step that is done is not done again.
#
#   make -f migrate.mk HUB=contoso FROM=west-rg TO=east-rg NEW=contoso-east REGION=eastus
HUB ?= contoso
FROM ?= west-rg
NEW ?= $(HUB)-east
TO ?= east-rg
REGION ?= eastus

SHELL = /bin/bash -o pipefail
.DELETE_ON_ERROR:

proved: loaded
	registry-diff > differences
	touch $@

loaded: registry.txt deployed.json
	registry-load --rejects=rejects.txt < registry.txt > outcomes
	touch $@

registry.txt:
	registry-dump -o $@ --manifest=registry.json

deployed.json: new.json
	key-inject new.json | tmpl-deploy -g $(TO) -o $@

new.json: old.json
	tmpl-rewrite --name $(NEW) --location $(REGION) -o $@ old.json

old.json:
	hub-export -g $(FROM) -o $@ $(HUB)

.PHONY: plan
plan: new.json
	key-inject new.json | tmpl-deploy -n -g $(TO)
