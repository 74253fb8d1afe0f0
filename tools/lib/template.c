/* template.c: an ARM template as the template tools see it; template.h. */
#include "template.h"

#include <string.h>
#include <strings.h>

#include "doc.h"

static bool
has(jv object, const char *name, jv_kind kind)
{
	jv v = jv_at(object, name);
	bool is = jv_get_kind(v) == kind;

	jv_free(v);
	return is;
}

jv
template_read(const char *path)
{
	const char *name = path && strcmp(path, "-") != 0 ? path : "stdin";
	jv t = jv_or_die(doc_read(path)), resources;

	if (jv_get_kind(t) != JV_KIND_OBJECT)
		die(BAD_DATA, name, "not a template: no JSON object");
	if (!has(jv_copy(t), "resources", JV_KIND_ARRAY) &&
	    has(jv_copy(t), "template", JV_KIND_OBJECT)) {
		if (has(jv_copy(t), "error", JV_KIND_OBJECT))
			die(BAD_DATA, name,
			    "a partial export: it carries an error beside "
			    "the template (export again, or take the "
			    "template out with jq .template)");
		t = jv_at(t, "template");
	}
	if (!has(jv_copy(t), "resources", JV_KIND_ARRAY)) {
		if (has(jv_copy(t), "id", JV_KIND_STRING) &&
		    has(jv_copy(t), "properties", JV_KIND_OBJECT))
			die(BAD_DATA, name,
			    "not a template but the body of a resource (use "
			    "hub-export)");
		die(BAD_DATA, name, "not a template: no 'resources' array");
	}
	resources = jv_at(jv_copy(t), "resources");
	jv_array_foreach(resources, i, r) {
		if (!has(r, "type", JV_KIND_STRING))
			die(BAD_DATA, name,
			    "not a template: resource %d has no type", i);
	}
	jv_free(resources);
	return t;
}

bool
template_type_is(jv resource, const char *type)
{
	return jv_string_is_nocase(jv_at(resource, "type"), type);
}

int
template_hub_peek(jv t)
{
	int found = -1, n;
	jv resources = jv_at(jv_copy(t), "resources");

	n = jv_array_length(jv_copy(resources));
	for (int i = 0; i < n; i++) {
		if (!template_type_is(
			jv_array_get(jv_copy(resources), i), HUB_TYPE))
			continue;
		if (found >= 0)
			die(BAD_DATA, NULL,
			    "template with two hubs: resources %d and %d "
			    "(split it; one hub a template)",
			    found, i);
		found = i;
	}
	jv_free(resources);
	if (found < 0)
		die(BAD_DATA, NULL,
		    "template without a hub: no resource of "
		    "type " HUB_TYPE);
	return found;
}

static jv
properties_path(jv t)
{
	return JV_ARRAY(jv_string("resources"), jv_number(template_hub_peek(t)),
	    jv_string("properties"));
}

jv
template_properties(jv t)
{
	jv path = properties_path(t), p = jv_getpath(t, path);

	if (jv_get_kind(p) == JV_KIND_OBJECT)
		return p;
	jv_free(p);
	return jv_object();
}

jv
template_with_properties(jv t, jv properties)
{
	jv path = properties_path(t);

	return jv_setpath(t, path, properties);
}
