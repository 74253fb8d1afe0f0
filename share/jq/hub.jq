# hub.jq: an IoT hub in a template, and what a new hub must not be given.
#
# A value may be a tree, {"$expr": ...}, where an ARM expression stood whose
# value nobody knows yet (tools/lib/expr.h).

def api: "2023-06-30";
def hub_type: "Microsoft.Devices/IotHubs";

def low: ascii_downcase;
def is_tree: type == "object" and has("$expr");
def call($f; $args): {"$expr": {call: $f, args: $args}};
# The trees of any function called $f, as paths can be taken of.
def calls($f): .. | objects | select(has("$expr"))."$expr"
  | select((.call? | strings | low) == ($f | low));

# Where a word stands in a list.  (libjq 1.6 leaks in index() on arrays.)
def place($word): . as $all | [range(length) | select($all[.] == $word)][0];

# Same name?  Without case; of two trees, the same text.
def same($a; $b): ($a | tojson | low) == ($b | tojson | low);

def is_hub: (.type | low) == (hub_type | low);
def is_child: .type | low | startswith((hub_type | low) + "/");
def is_private: .type | low | endswith("/privateendpointconnections");
# The one hub of a template.
def hub: .resources | map(select(is_hub))[0];

# A note for the person who runs this; the tool prints and removes them.
def say($text): ."$say" += [$text];

# The parts of an id: [type, name, name...]; null when it names no hub or
# child of one.  From resourceId(), from text, or from concat() of text.
def id_parts:
  def of_text:
    split("/")
    | (map(low) | [range(length) as $i
        | select(.[$i] == "microsoft.devices" and .[$i + 1] == "iothubs")
        | $i][0]) as $at
    | if $at == null then null
      else .[$at + 2:] | [hub_type] + . end;
  if type == "string" then of_text
  elif is_tree and (."$expr".call? | strings | low) == "resourceid" then
    ."$expr".args
    | ([range(length) as $i | .[$i] | strings | low
        | select(. == (hub_type | low) or startswith((hub_type | low) + "/"))
        | $i][0]) as $at
    | if $at == null then null else .[$at:] end
  elif is_tree and (."$expr".call? | strings | low) == "concat" then
    ."$expr".args as [$text, $name]
    | ($text | strings | of_text) as $parts
    | if $parts == [hub_type, ""] then [hub_type, $name] else null end
  else null end;

# The id of a hub or of a child, as a deployment names it.
def id:
  if is_hub then call("resourceId"; [hub_type, .name])
  elif (.name | type) == "string" then
    call("resourceId"; [.type] + (.name | split("/")))
  else
    .name as $name
    | call("resourceId"; [.type] + [range(.type | split("/") | length - 1)
        | {"$expr": {index: [call("split"; [$name, "/"]), .]}}])
  end;

def number: if type == "string" and test("^[0-9]+$") then tonumber else . end;
def update(f): if . == null then . else f end;

# What the service says of a hub and does not take for a new one (CONTRACT 4.1,
# 8), and what only older api-versions had.
def clean_properties:
  del(.locations, .state, .provisioningState, .hostName, .location,
      .privateEndpointConnections, .operationsMonitoringProperties)
  | .eventHubEndpoints |= update(
      del(.operationsMonitoringEvents)
      | map_values(del(.partitionIds, .path, .endpoint)
        | .partitionCount |= update(number)
        | .retentionTimeInDays |= update(number)))
  | if .eventHubEndpoints == null then del(.eventHubEndpoints) else . end;

def clean_identity:
  del(.principalId, .tenantId)
  | if .userAssignedIdentities | type == "object" and (is_tree | not)
    then .userAssignedIdentities |= map_values({}) else . end;

def newest: if . == null or .[:10] <= api then api else . end;

def clean_hub:
  del(.id, .etag, .systemData, .subscriptionid, .resourcegroup)
  | .apiVersion |= newest
  | .sku |= (del(.tier) | .capacity |= update(number)
      | if .capacity == null then del(.capacity) else . end)
  | if .identity then .identity |= clean_identity else . end
  | .properties |= clean_properties;

def clean_child:
  del(.id, .etag, .systemData, .location)
  | .apiVersion |= newest
  | if .properties then
      .properties |= del(.subject, .expiry, .thumbprint, .created, .updated)
    else . end;

# Does an element of dependsOn mean the hub called $name or a child of it?
def of_hub($name):
  id_parts != null
  or same(.; $name)
  or (type == "string" and ($name | type) == "string"
      and startswith($name + "/"));

# Each child waits for the hub and for the child before it, since a hub takes
# one change at a time (409002).
def chain:
  hub as $hub
  | reduce (.resources | to_entries[] | select(.value | is_child)) as $e
      ({doc: ., before: []};
        .before as $before
        | .doc.resources[$e.key].dependsOn |= [($hub | id), $before[],
            (.[]? | select(of_hub($hub.name) | not))]
        | .before = [$e.value | id])
  | .doc;
