# deploy.jq: what tmpl-deploy makes of a template, and of what the service says
# about it.  Each rule takes one object.

def low: ascii_downcase;
def is_expression: startswith("[") and endswith("]") and (startswith("[[") | not);
def is_secure: .type | strings | low | . == "securestring" or . == "secureobject";

# ---- secrets: none may stand in the template, which the service keeps ----

# A literal that holds a key.  No regular expression: each test() of libjq 1.6
# loses some memory.
def key_names: "sharedaccesskey=", "accountkey=", "sharedaccesssignature=";
def holds_key: (is_expression | not)
  and (low as $t | any(key_names; . as $k | $t | split($k)[1:]
    | any(.[]; . != "" and (.[:1] | . != ";" and . != "*"))));
def is_key_name: type == "string"
  and (low | . == "primarykey" or . == "secondarykey");
def key_paths: paths(type == "string") as $p
  | getpath($p) as $v
  | select($v != "" and $v != "****" and ($v | is_expression | not))
  | select(($v | holds_key) or ($p[-1] | is_key_name))
  | $p;

# {template, values, places: paths the plugins know}: each place becomes a
# parameter, and its value is sent beside the template.
def lift:
  .values as $given
  | (.places + [.template | {resources} | key_paths] | unique) as $places
  | (.template.parameters // {} | keys | map(low)) as $taken
  | [limit($places | length; range(1; 100000) | "hubpipeSecret\(.)"
      | select(low as $n | $taken | index($n) | not))] as $names
  | reduce range($places | length) as $i (.;
      $places[$i] as $p | $names[$i] as $n
      | .values[$n] = {value: (.template | getpath($p))}
      | .template.parameters[$n] = {type: "SecureString"}
      | .template |= setpath($p; "[parameters('\($n)')]"))
  | reduce (.template.parameters // {} | to_entries[]
      | select((.value | is_secure) and .value.defaultValue != null)
      | select(.value.defaultValue | (type != "string") or (is_expression | not))) as $p
      (.; .template.parameters[$p.key] |= del(.defaultValue)
        | if .values[$p.key] then . else
            .values[$p.key] = {value: $p.value.defaultValue} end)
  | del(.places)
  | ([.template.parameters // {} | to_entries[] | select(.value | is_secure)
      | .key | low]) as $secure
  | [.values | keys_unsorted[] | low] as $have
  | . + {
      missing: [.template.parameters // {} | to_entries[]
        | select(.value.defaultValue == null
            and (.key | low as $k | $have | index($k) | not)) | .key],
      unknown: [.values | keys_unsorted[]
        | select(low as $k | $secure + $taken | index($k) | not)],
      secrets: [.values | to_entries[]
        | select(.key | low as $k | $secure | index($k)) | .value.value
        | .. | strings | select(length > 3)],
      plain: (.values | with_entries(
        select(.key | low as $k | $secure | index($k) | not)))
    };

# ---- what is left out ----

# The end of a resource's id, in lower case.
def tail: (.type | split("/")) as $t | (.name | split("/")) as $n
  | [$t[0], (range(1; $t | length) | $t[.], $n[. - 1])] | join("/") | low;

# {template, known, gone: indices}: what waited for a resource that is left out
# waits for what that waited for.
def without:
  reduce (.gone | sort | reverse[]) as $i (.;
    (.known[$i] | tail) as $tail
    | (.template.resources[$i].dependsOn // []) as $texts
    | (.known[$i].dependsOn // []) as $heirs
    | reduce range(.known | length) as $r (.;
        (.known[$r].dependsOn // []) as $waits
        | (.template.resources[$r].dependsOn // []) as $old
        | if any($waits[]; strings | low | endswith($tail)) then
            [range($waits | length) | select($waits[.]
              | (strings | low | endswith($tail)) // false | not)] as $kept
            | .template.resources[$r].dependsOn =
                ([$old[$kept[]]] + $texts | unique)
            | .known[$r].dependsOn = ([$waits[$kept[]]] + $heirs | unique)
          else . end)
    | del(.template.resources[$i], .known[$i]))
  | {template, known};

# ---- the plan ----

# "Microsoft.Devices/IotHubs/certificates contoso/root" of an id.
def of_id:
  split("/") as $p
  | ([range($p | length) | select($p[.] | low == "providers")] | last) as $i
  | if $i == null then "Microsoft.Resources/resourceGroups \($p[-1])"
    else $p[$i + 1:]
      | ([.[0]] + [.[range(1; length; 2)]] | join("/")) + " "
        + ([.[range(2; length; 2)]] | join("/"))
    end;

# A connection string is the same in any order, with or without its port, and
# its key is never shown by the service (CONTRACT 5.1).
def comparable:
  if type == "string" and (low | contains("accesskey=") or contains("accountkey=")) then
    split(";") | map(select(. != "")
      | sub("^(?<k>(SharedAccessKey|AccountKey))=.*"; .k; "i")
      | sub("(:5671)?/?$"; "")) | sort
  else . end;

def shown($secrets):
  if . == null then "(none)" else
    . as $value | tojson
    | if startswith("\"\ue000number:") then .[9:-1] else . end
    | gsub("(?<k>(SharedAccessKey|AccountKey|SharedAccessSignature)=)[^;\"]*"; .k + "****")
    | if . as $t | any($secrets[]; . as $s | $t | contains($s)) then "\"****\"" else . end
    | if length > 200 then .[:200] + "..." else . end
  end;

def step($path): if $path == "" then . elif try (tonumber | true) catch false then "\($path)[\(.)]"
  else "\($path).\(.)" end;

# What only looks like a difference: a key, which the service never shows; the
# name within a consumer group, which a GET leaves out (CONTRACT 7); policies
# that are carried over.
def is_noise($in; $here; $name):
  (.before | comparable) == (.after | comparable)
  or .after == "****"
  or (.before == null and ($here | split(".")[-1] | is_key_name))
  or (.before == null and $here == "properties.name" and .after == $name)
  or ($in.carried and ($here | startswith("properties.authorizationPolicies")));

# The single properties that differ.
def leaves($in; $path; $name):
  (.path // "" | tostring | if . == "" then $path else step($path) end) as $here
  | if .propertyChangeType == "NoEffect" then empty
    elif .children // [] | length > 0 then .children[] | leaves($in; $here; $name)
    elif is_noise($in; $here; $name) then empty
    else "\($here): \(.before | shown($in.secrets)) -> \(.after | shown($in.secrets))" end;

def change($in):
  (.resourceId | of_id) as $what
  | (.changeType | low) as $type
  | if $type == "create" then {add: 1, lines: ["+ \($what)"]}
    elif $type == "delete" then {delete: 1, lines: ["- \($what)"]}
    elif $type == "deploy" or $type == "unsupported" then
      {change: 1, lines: ["~ \($what) (the service cannot tell what changes)"]}
    elif $type == "modify" then
      (.resourceId | split("/")[-1]) as $name
      | [.delta[]? | leaves($in; ""; $name)]
      | if . == [] then {} else {change: 1, lines: map("~ \($what) \(.)")} end
    else {} end;

def total($changes):
  {lines: [$changes[].lines[]?], add: ([$changes[].add // 0] | add // 0),
    change: ([$changes[].change // 0] | add // 0),
    delete: ([$changes[].delete // 0] | add // 0)};

# {changes: of what-if, carried, secrets}
def plan: . as $in | total([.changes[] | change($in)]);

# {resources: evaluated}: nothing is there yet.
def local_plan: total([.resources[]
  | {add: 1, lines: ["+ \(.type) \(.name | if type == "string" then . else "?" end)"]}]);

# ---- the end ----

# {deployment, secrets}
def result:
  .secrets as $secrets
  | def clean: if type == "string" and (. as $t | any($secrets[]; . as $s | $t | contains($s)))
      then "****" else . end;
  .deployment
  | {id, name, provisioningState: .properties.provisioningState,
      duration: .properties.duration,
      outputs: (.properties.outputs // {}
        | with_entries(select(.value | is_secure | not))
        | map_values(.value) | (.. | strings) |= clean),
      resources: [.properties.outputResources[]?.id]};

def run: if .do == "lift" then del(.do) | lift
  elif .do == "plan" then plan
  elif .do == "without" then without
  elif .do == "local" then local_plan
  elif .do == "result" then result
  else error("no rule \(.do)") end;
