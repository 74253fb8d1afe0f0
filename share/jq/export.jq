# export.jq: what the service says of a hub becomes a template.
import "hub" as hub;

# In a template a text that looks like an expression means one.
def escape: (.. | strings | select(test("^\\[.*\\]$"; "m"))) |= "[" + .;

def child($hub; $type; $name; $properties):
  {type: "\(hub::hub_type)/\($type)", apiVersion: hub::api,
    name: "\($hub.name)/\($name)", properties: $properties};

def template($resources):
  {"$schema": ("https://schema.management.azure.com/schemas/2019-04-01/"
      + "deploymentTemplate.json#"),
    contentVersion: "1.0.0.0", resources: $resources};

def without_empty_storage:
  if .properties.storageEndpoints."$default"?
    | . != null and (.connectionString // "") == "" and .endpointUri == null
  then del(.properties.storageEndpoints) else . end;

# {hub, groups, certificates, policies}: bodies of GET; policies may be null.
def export:
  .hub as $hub
  | ($hub | {type: hub::hub_type, apiVersion: hub::api, name, location,
      tags, sku, identity, properties}
    | with_entries(select(.value != null))) as $resource
  | (.policies | if . == null then {} else {authorizationPolicies: .} end)
    as $policies
  | template([
      $resource + {properties: ($resource.properties + $policies)},
      (.certificates[] | child($hub; "certificates"; .name; .properties)),
      (.groups[] | select(.name != "$Default")
        | child($hub; "eventHubEndpoints/ConsumerGroups"; "events/" + .name;
            {name: .name}))]
      | map(escape))
  | .resources |= map(if hub::is_hub
      then hub::clean_hub | without_empty_storage else hub::clean_child end)
  | if $hub.properties.privateEndpointConnections // [] == [] then .
    else hub::say("private endpoint connections are left out: "
      + ([$hub.properties.privateEndpointConnections[].name // "?"]
        | join(", "))) end
  | hub::chain;
