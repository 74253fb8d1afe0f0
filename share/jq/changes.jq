# changes.jq: what differs between two templates, one line for each place:
#
#   + PATH: value            - PATH: value            ~ PATH: old -> new
#
# Resources are known by type and name below the hub's, members of lists by
# their "name" where all have one.  Keys are never shown.
import "hub" as hub;

def title:
  (.name | [.. | strings] | join("")) as $name
  | if hub::is_hub then "hub"
    elif hub::is_child then
      "\(.type | split("/")[2:] | join("/"))/\($name | sub("^[^/]*/"; ""))"
    else "\(.type)/\($name)" end;

def show($path; $secret):
  def keyless: if . == null then . else "****" end;
  if ($path | test("(primaryKey|secondaryKey)$")) then "\"****\""
  else
    walk(if type == "object" then
        (if has("primaryKey") then .primaryKey |= keyless else . end)
        | if has("secondaryKey") then .secondaryKey |= keyless else . end
      else . end)
    | tojson
    | gsub("(?<part>(AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;\"']+";
        .part + "****")
    | if . as $text | any($secret[]; . as $s | $text | contains($s))
      then "\"****\"" else . end
    | if length > 160 then .[:160] + "..." else . end
  end;

# A list as an object, if its members have names of their own.
def keyed: if type == "array" and length > 0
    and all(.[]; type == "object" and (.name | type) == "string")
    and (map(.name) | unique | length) == length
  then map({key: "[\(.name)]", value: .}) | from_entries
  elif type == "array" then
    [range(length) as $i | {key: "[\($i)]", value: .[$i]}] | from_entries
  elif type == "object" then with_entries(.key |= "." + .)
  else . end;

def differences($old; $new; $path; $secret):
  if $old == $new then empty
  elif [$old, $new] | map(type) | . == ["object", "object"]
      or . == ["array", "array"] then
    ($old | keyed) as $a | ($new | keyed) as $b
    | (($a | keys_unsorted) + (($b | keys_unsorted) - ($a | keys_unsorted)))[]
    | if in($a) and in($b) then
        differences($a[.]; $b[.]; $path + .; $secret)
      elif in($a) then
        . as $k | ($path + .) as $p
        | "- \($p): \($a[$k] | show($p; $secret))"
      else
        . as $k | ($path + .) as $p
        | "+ \($p): \($b[$k] | show($p; $secret))"
      end
  else "~ \($path): \($old | show($path; $secret)) -> "
    + ($new | show($path; $secret))
  end;

# {old, new: templates as text has them; was, now: the same, lifted, to know
# resources by}; $given: the parameters' values.
def all_changes($given):
  def table($by): [.resources | to_entries[]
    | {key: ($by.resources[.key] | title), value: .value}] | from_entries;
  def rest: del(.resources) | .parameters |= (. // {});
  ([.old.parameters // {} | to_entries[]
      | select(.value.type | hub::low == "securestring")
      | $given[.key | hub::low].value | strings | select(. != "")]) as $secret
  | . as $in
  | (.old | table($in.was)) as $a | (.new | table($in.now)) as $b
  | [ ((($a | keys_unsorted) + (($b | keys_unsorted) - ($a | keys_unsorted)))[]
        | if $a[.] and $b[.] then differences($a[.]; $b[.]; .; $secret)
          elif $a[.] then "- \(.)" else "+ \(.)" end),
      differences(.old | rest; .new | rest; "template"; $secret) ];
