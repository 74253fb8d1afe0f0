# fleet.jq: a fleet of $n devices, of every kind a hub can hold, as records.
#
#   jq -nrc --argjson n 1000 -f examples/fleet.jq > fleet.txt
#
# Always the same lines for the same $n.  The keys are made of the ids, so that
# a test can tell whose key it is; they open nothing.

def pad($width): tostring | ("0" * ($width - length)) + .;
def key($what): ($what + "................................")[0:32] | @base64;
def sas($id): {
    symmetricKey: {primaryKey: key($id + "/p"), secondaryKey: key($id + "/s")},
    type: "sas"
};
def thumbprint($seed; $length):
    [range($length) | ($seed * 31 + . * 7) % 16 | "0123456789ABCDEF"[.:. + 1]]
    | add;
def self_signed($i): {
    x509Thumbprint: {
        primaryThumbprint: thumbprint($i; 40),
        secondaryThumbprint: thumbprint($i + 3; if $i % 2 == 0 then 64 else 40 end)
    },
    type: "selfSigned"
};
def scope($id): "ms-azure-iot-edge://" + $id + "-637335577212345678";

# Ids with what ids may hold, so that every step has to escape them.
def id($i):
    if $i % 97 == 5 then "sensor#" + ($i | pad(4))
    elif $i % 97 == 6 then "50%load?" + ($i | pad(4))
    elif $i % 97 == 7 then "a+b=c_*!(" + ($i | pad(4)) + "),@$'"
    else "device-" + ($i | pad(4)) end;

def twin($i): {
    tags: (
        {site: ["Zürich", "北京", "São Paulo", "Kraków"][$i % 4], owner: "contoso"}
        + if $i % 3 == 0 then {rack: {row: ($i % 12), slot: "s\($i % 40)"}} else {} end
        + if $i % 11 == 0 then {note: "quote \" backslash \\ tab \t slash /"} else {} end),
    properties: {
        desired: (
            {interval: ($i % 60 + 1)}
            + if $i % 4 == 1 then {
                net: {wifi: {ssid: "plant-\($i % 9)", retries: [1, 2, 3]}, dns: []},
                empty: {}, on: ($i % 2 == 1), none: {deep: {er: 0.5}}} else {} end),
        reported: {}
    }
};

def device($i; $id): {id: $id, status: "enabled"}
    + if $i % 10 == 3 then {status: "disabled", statusReason: "stolen: case \($i)"}
      elif $i % 10 == 8 then {status: "disabled"} else {} end
    + {authentication: (
        if $i % 10 == 0 then self_signed($i)
        elif $i % 10 == 1 then {type: "certificateAuthority"}
        else sas($id) end)}
    + twin($i) + {capabilities: {iotEdge: false}};

def user_module($id; $name; $i):
    {id: $id, moduleId: $name, status: "enabled", authentication: sas($id + "/" + $name)}
    + {tags: {role: $name}, properties: {desired: {level: ($i % 5), list: [{a: 1}]}, reported: {}}};

def system_module($id; $name): {
    id: $id, moduleId: $name, status: "enabled", authentication: null,
    properties: {desired: {schemaVersion: "1.1", runtime: {type: "docker"}}, reported: {}}
};

# An Edge device; $parent is null or the id of the Edge device above it.
def edge($i; $id; $parent):
    {id: $id, status: "enabled", authentication: sas($id)} + twin($i)
    + {capabilities: {iotEdge: true}, deviceScope: scope($id)}
    + if $parent then {parentScopes: [scope($parent)]} else {} end;

def leaf($i; $parent):
    device($i; id($i)) + {deviceScope: scope($parent), parentScopes: [scope($parent)]};

# Each block of 50 has one factory, one line below it, and leaves of both.
range($n) as $i
| ($i - $i % 50) as $block
| "factory-\($block | pad(4))" as $factory
| "line-\($block | pad(4))" as $line
| if $i % 50 == 0 then
    edge($i; $factory; null),
    system_module($factory; "$edgeAgent"),
    system_module($factory; "$edgeHub")
  elif $i % 50 == 1 then
    edge($i; $line; $factory),
    system_module($line; "$edgeAgent"),
    system_module($line; "$edgeHub"),
    user_module($line; "filter"; $i)
  elif $i % 50 == 2 then leaf($i; $factory)
  elif $i % 50 < 6 then leaf($i; $line)
  else
    device($i; id($i)),
    if $i % 20 == 9 then
        user_module(id($i); "camera"; $i), user_module(id($i); "micro.phone"; $i)
    elif $i % 20 == 13 then user_module(id($i); "disabled-too"; $i)
    else empty end
  end
