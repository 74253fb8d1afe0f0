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

# The hub as its export shows it: at whichever api-version that is, with null
# in the place of secrets; the file-upload storage is taken from GET.
def from_export($all):
  .resources
  | (map(select(hub::is_hub))[0] // error("the export holds no hub")) as $hub
  | $hub + {name: $all.hub.name}
  | if $all.hub.properties.storageEndpoints then
      .properties.storageEndpoints = $all.hub.properties.storageEndpoints
    else . end;

def from_get:
  {type: hub::hub_type, apiVersion: hub::api, name, location, tags, sku,
    identity, properties} | with_entries(select(.value != null)) | escape;

# {hub, groups, certificates: bodies of GET; export: the service's own
# template, policies: of listkeys, or null}
def export:
  . as $all
  | .hub as $hub
  | (if .export then .export | from_export($all) else $hub | from_get end)
  | (if $all.policies then
      .properties.authorizationPolicies = $all.policies else . end)
  | template([.,
      ($all.certificates[]
        | child($hub; "certificates"; .name; .properties | escape)),
      ($all.groups[] | select(.name != "$Default")
        | child($hub; "eventHubEndpoints/ConsumerGroups"; "events/" + .name;
            {name: .name}))])
  | .resources |= map(if hub::is_hub
      then hub::clean_hub | without_empty_storage else hub::clean_child end)
  | if ($hub.properties.privateEndpointConnections // []) == [] then .
    else hub::say("private endpoint connections are left out: "
      + ([$hub.properties.privateEndpointConnections[].name // "?"]
        | join(", "))) end
  | ([$hub.properties.routing.endpoints // {} | .[] | .[]? | .name]
      - [hub::hub.properties.routing.endpoints // {} | .[] | .[]? | .name])
    as $lost
  | if $lost == [] then .
    else hub::say("the export lacks endpoints that the hub has: "
      + ($lost | join(", ")) + " (--via=get has them)") end
  | hub::chain;
