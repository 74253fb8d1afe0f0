# rewrite.jq: one hub's template becomes another's.  Every rule takes a
# template and gives one.  To try a rule without hubpipe:
#
#   jq -L share/jq 'import "rewrite" as r; r::rewrite({name: "b"})' a.json
#
# $o: {name, location, sku, capacity, partitions, retention, fileUpload,
# given}; what is null or absent stays as it is.
import "hub" as hub;

def the_hub(f): (.resources[] | select(hub::is_hub)) |= f;

# ---- before expressions are evaluated: prepare ----

# Hub children may be nested in the hub; as resources of the template they can
# wait for one another.
def unnest:
  def whole($hub):
    . as $child
    | (if .type | hub::low | startswith("microsoft.") then .type
       else hub::hub_type + "/" + .type end) as $type
    | (if [.name, $hub.name] | all(type == "string")
       then $hub.name + "/" + .name
       else hub::call("concat"; [$hub.name, "/", .name]) end) as $name
    | {type: $type, name: $name} + ($child | del(.type, .name));
  .resources |= [.[]
    | if hub::is_hub and (.resources | type) == "array"
      then . as $hub | del(.resources), (.resources[] | whole($hub))
      else . end];

# A nested template with a scope of its own is not ours to evaluate.
def inner: (.resources[]
  | select(.type | hub::low == "microsoft.resources/deployments").properties
  | select(.expressionEvaluationOptions.scope? // "" | hub::low == "inner"))
  .template;

def veil: inner |= tojson;
def unveil: inner |= fromjson;

# Outputs that are the hub's name or place: they are to follow it.
def outputs_like(f):
  (hub::hub | f) as $value
  | [.outputs // {} | to_entries[]
      | select(($value | hub::is_tree) and hub::same(.value.value; $value)).key];

# An export hides the file-upload storage: in parameters that have no value,
# or as null.  "" says that there is none.
def file_upload($o):
  .parameters as $parameters
  | def hidden:
      if hub::is_tree then
        ."$expr" | select(.call? == "parameters").args[0] as $p
        | $parameters // {} | to_entries[] | select(hub::same(.key; $p))
        | select(.value.defaultValue == null
            and ($o.given // {} | has($p | hub::low) | not))
        | "in parameter '\($p)'"
      elif . == null then "as null" else empty end;
  ([hub::hub.properties.storageEndpoints."$default" | objects
      | .connectionString, .containerName | hidden][0]) as $where
  | if $o.fileUpload == "none" then
      the_hub(del(.properties.storageEndpoints)
        | if .properties.enableFileUploadNotifications
          then .properties.enableFileUploadNotifications = false else . end)
    elif $where == null then .
    elif $o.fileUpload then
      the_hub(.properties.storageEndpoints."$default"
        |= del(.connectionString, .containerName))
    else
      error("the hub's file-upload storage is hidden \($where) (give "
        + "--file-upload=ACCOUNT/CONTAINER, or --no-file-upload if it has "
        + "none)")
    end;

def unknown_values($o):
  (.parameters // {} | keys | map(hub::low)) as $known
  | ($o.given // {} | keys - $known) as $unknown
  | if $unknown == [] then .
    else hub::say("the template has no parameter \($unknown | join(", "))") end;

def prepare($o):
  unnest as $old
  | {$old, template: ($old | unknown_values($o) | file_upload($o) | veil),
      names: ($old | outputs_like(.name)),
      places: ($old | outputs_like(.location))};

# What it all says, before anything is changed, for changes.jq.
def before($old): unveil | .parameters = ($old.parameters // {}) | del(.variables)
  | ($old | hub::hub.properties.storageEndpoints?) as $storage
  | if $storage then the_hub(.properties.storageEndpoints = $storage)
    else . end;

# ---- after expressions are evaluated: rewrite ----

def drop_private:
  ([.resources[] | select(hub::is_private) | .name
      | if type == "string" then . else "?" end]
    + [hub::hub.properties.privateEndpointConnections[]? | .name // "?"])
    as $names
  | .resources |= map(select(hub::is_private | not))
  | (.resources[] | select(.dependsOn)).dependsOn
    |= map(select(any(hub::id_parts // [] | .[] | strings | hub::low;
        endswith("privateendpointconnections")) | not))
  | if $names == [] then .
    else hub::say("private endpoint connections are dropped, approve new ones "
      + "on the new hub: \($names | join(", "))") end;

def drop_empty_storage:
  the_hub(if .properties.storageEndpoints."$default"?
      | . != null and (.connectionString // "") == "" and .endpointUri == null
        and (.containerName // "") == ""
    then del(.properties.storageEndpoints) else . end);

# Parameters and variables go, but for those that a deployment needs.
def drop_unused:
  . as $t
  | ([del(.functions) | hub::calls("parameters").args[0] | strings | hub::low])
    as $used
  | (if .parameters then
      .parameters |= with_entries(select([.key | hub::low] | inside($used)))
    else . end)
  | (if [del(.functions) | hub::calls("variables")] == []
     then del(.variables) else . end)
  | if .parameters == {} then del(.parameters) else . end
  | if . == $t then . else drop_unused end;

def clean($o):
  drop_private | drop_unused
  | if $o.fileUpload then . else drop_empty_storage end
  | .resources |= map(if hub::is_hub then hub::clean_hub
                      elif hub::is_child then hub::clean_child else . end);

# The hub's name changes in its own name, in its children's, and in ids; nowhere
# else, whatever else has the same name.
def rename($new; $o):
  hub::hub.name as $old
  | any(.resources[]; hub::same(.name; $old) and (hub::is_hub | not)) as $shared
  | (hub::hub_type | hub::low) as $type
  | def swap: walk(if hub::is_tree and hub::same(.; $old) then $new else . end);
  def first_part:
    if type != "string" then swap
    elif [$old, .] | any(type != "string") then .
    elif startswith($old + "/") then $new + .[$old | length:] else . end;
  def text_id:
    if type == "string" and (hub::low | contains($type + "/")) then
      split("/")
      | (map(hub::low) | hub::place("iothubs") + 1) as $i
      | if hub::same(.[$i]; $old) then .[$i] = $new else . end
      | join("/")
    else . end;
  def args:
    map(text_id)
    | ([range(length) as $i | .[$i] | strings | hub::low
        | select(. == $type or startswith($type + "/")) | $i][0]) as $i
    | if $i != null and hub::same(.[$i + 1]; $old)
      then .[$i + 1] = $new else . end;
  def reference:
    if $shared | not then
      if hub::same(.; $old) then $new else first_part end
    else . end | text_id;
  walk(if hub::is_tree and (."$expr".args | type) == "array"
       then ."$expr".args |= args else . end)
  | (.resources[] | .dependsOn, .scope | select(. != null))
    |= if type == "array" then map(reference) else text_id end
  | (.resources[] | select(hub::is_child)).name |= first_part
  | reduce $o.names[]? as $key (.; .outputs[$key].value = $new)
  | the_hub(.name = $new);

def set(path; $value): if $value == null then . else path = $value end;

def limits:
  hub::hub as {$sku, $properties, $location}
  | ($properties.eventHubEndpoints.events.partitionCount?) as $partitions
  | if $sku.name == "F1" and $partitions != null and $partitions != 2
    then hub::say("a hub of SKU F1 has 2 partitions, not \($partitions) (give "
      + "--partitions=2)") else . end
  | if $sku.name == "F1" and ($sku.capacity // 1) != 1
    then hub::say("a hub of SKU F1 has 1 unit, not \($sku.capacity) (give "
      + "--capacity=1)") else . end
  | if $properties.enableDataResidency == true
      and ([$location] | inside(["brazilsouth", "southeastasia"]) | not)
    then hub::say("enableDataResidency is set, which region \($location) may "
      + "not know") else . end;

def others($o):
  [.resources[] | select(hub::is_hub or hub::is_child | not)] as $others
  | if $others == [] or $o.name == null and $o.location == null then .
    else hub::say("what else is in the template stays as it is: "
      + ([$others[].type] | unique | join(", "))) end;

def rewrite($o):
  clean($o)
  | others($o) | rename($o.name // hub::hub.name; $o)
  | the_hub(set(.location; $o.location) | set(.sku.name; $o.sku)
      | set(.sku.capacity; $o.capacity)
      | set(.properties.eventHubEndpoints.events.partitionCount; $o.partitions)
      | set(.properties.eventHubEndpoints.events.retentionTimeInDays;
          $o.retention))
  | (if $o.location then
      reduce $o.places[]? as $key (.; .outputs[$key].value = $o.location)
    else . end)
  | hub::chain
  | limits;
