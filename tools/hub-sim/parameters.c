/*
 * parameters.c: the parameters of a template: which there are, what is given
 * for them, defaults, types and limits (CONTRACT 9.6).
 */
#include "deploy.h"

#include <stdlib.h>
#include <strings.h>

/* Where the template declares that parameter; 1, 1 when it cannot be told. */
static void
position(const struct plan *p, const char *name, int *line, int *column)
{
	const char *const path[] = { "properties", "template", "parameters",
		name, NULL };
	struct span value;

	*line = *column = 1;
	if (p->text.at == NULL || json_get(p->text, path, &value, NULL) != 1)
		return;
	for (const char *c = p->text.at; c < value.at; c++) {
		*column += 1;
		if (*c == '\n') {
			*line += 1;
			*column = 1;
		}
	}
}

/* About one parameter; what: with two %d and the name before them. */
static jv
parameter_fault(const struct plan *p, const char *name, const char *rest)
{
	int line, column;
	jv info;

	position(p, name, &line, &column);
	info = jv_put(jv_put(jv_object(), "lineNumber", jv_number(line)),
	    "linePosition", jv_number(column));
	info = jv_put(
	    info, "path", jv_text("properties.template.parameters.%s", name));
	return template_invalid(
	    jv_text("The value for the template parameter '%s' at line '%d' "
		    "and column '%d' is not %s",
		name, line, column, rest),
	    info);
}

/* The spelling of a parameter's name in the template; malloc'd or NULL. */
static char *
parameter_name(const struct plan *p, const char *name)
{
	char *found = NULL;

	jv_object_foreach(p->declared, key, item) {
		if (!found && strcasecmp(jv_string_value(key), name) == 0)
			found = xstrdup(jv_string_value(key));
		jv_free(key);
		jv_free(item);
	}
	return found;
}

const char *
parameter_type(const char *type)
{
	static const char *const words[] = { "String", "SecureString", "Int",
		"Bool", "Object", "SecureObject", "Array", NULL };

	for (const char *const *w = words; *w; w++)
		if (type && strcasecmp(*w, type) == 0)
			return *w;
	return NULL;
}

bool
type_is_secure(const char *word)
{
	return strncmp(word, "Secure", 6) == 0;
}

static bool
has_type(jv value, const char *word)
{
	const char *text = jv_string_peek(value);
	bool number =
	    text && strncmp(text, DOC_NUMBER, strlen(DOC_NUMBER)) == 0;
	jv_kind k = jv_get_kind(value);

	if (strcmp(word, "Int") == 0)
		return k == JV_KIND_NUMBER || number;
	if (strcmp(word, "Bool") == 0)
		return k == JV_KIND_TRUE || k == JV_KIND_FALSE;
	if (strcmp(word, "Array") == 0)
		return k == JV_KIND_ARRAY;
	if (strstr(word, "Object"))
		return k == JV_KIND_OBJECT;
	return k == JV_KIND_STRING && !number;
}

static jv
allowed_text(jv allowed)
{
	jv text = jv_string("");

	jv_array_foreach(allowed, i, item) {
		jv one = jv_get_kind(item) == JV_KIND_STRING
			     ? item
			     : jv_dump_string(item, 0);

		if (i > 0)
			text = jv_string_append_str(text, ",");
		text = jv_string_concat(text, one);
	}
	jv_free(allowed);
	return text;
}

/* Limits of a parameter.  Borrows value; jv_null() or a refusal. */
static jv
check_limits(const struct plan *p, const char *name, jv declaration, jv value)
{
	static const char *const limits[] = { "minLength", "maxLength",
		"minValue", "maxValue" };
	jv allowed = deploy_member(jv_copy(declaration), "allowedValues");
	jv no = jv_null(), text;

	if (jv_get_kind(allowed) == JV_KIND_ARRAY) {
		bool is = false;

		jv_array_foreach(allowed, i, item)
			is = jv_equal(item, jv_copy(value)) || is;
		if (!is) {
			char *rest;
			jv given = jv_get_kind(value) == JV_KIND_STRING
				       ? jv_copy(value)
				       : jv_dump_string(jv_copy(value), 0);

			text = allowed_text(allowed);
			rest = xasprintf(
			    "valid. The provided value '%s' is not part of the "
			    "allowed value(s): '%s'.",
			    jv_string_value(given), jv_string_value(text));
			jv_free(given);
			jv_free(text);
			no = parameter_fault(p, name, rest);
			free(rest);
			jv_free(declaration);
			return no;
		}
	}
	jv_free(allowed);
	for (int i = 0; i < 4; i++) {
		jv limit = deploy_member(jv_copy(declaration), limits[i]);
		double n = 0, max;
		bool bad;

		if (jv_get_kind(limit) != JV_KIND_NUMBER) {
			jv_free(limit);
			continue;
		}
		max = jv_number_value(limit);
		if (i >= 2)
			n = jv_number_value(value);
		else if (jv_get_kind(value) == JV_KIND_STRING)
			n = jv_string_length_codepoints(jv_copy(value));
		else if (jv_get_kind(value) == JV_KIND_ARRAY)
			n = jv_array_length(jv_copy(value));
		bad = i % 2 ? n > max : n < max;
		if (i >= 2 && jv_get_kind(value) != JV_KIND_NUMBER)
			bad = false;
		if (bad) {
			char *rest = xasprintf(
			    "valid. Its %s is '%.0f'.", limits[i], max);

			no = parameter_fault(p, name, rest);
			free(rest);
			break;
		}
	}
	jv_free(declaration);
	return no;
}

static jv
type_fault(jv value, const char *word)
{
	jv text = jv_text(
	    "Template parameter JToken type is not valid. Expected '%s'. "
	    "Actual '%s'. Please see "
	    "https://aka.ms/resource-manager-parameter-files for usage "
	    "details.",
	    strcmp(word, "Int") == 0    ? "Integer"
	    : strcmp(word, "Bool") == 0 ? "Boolean"
	    : type_is_secure(word)      ? word + 6
					: word,
	    jv_get_kind(value) == JV_KIND_NUMBER   ? "Integer"
	    : jv_get_kind(value) == JV_KIND_STRING ? "String"
	    : jv_get_kind(value) == JV_KIND_ARRAY  ? "Array"
	    : jv_get_kind(value) == JV_KIND_OBJECT ? "Object"
	    : jv_get_kind(value) == JV_KIND_NULL   ? "Null"
						   : "Boolean");

	jv_free(value);
	return template_invalid(text, jv_null());
}

/* The value of one parameter; a failure when it has none or a wrong one. */
jv
parameter_value(struct plan *p, const char *asked)
{
	char *name = parameter_name(p, asked), *type;
	const char *word;
	jv declaration, value, no;
	bool given;

	if (name == NULL)
		return fault("The template parameter '%s' is not found. Please "
			     "see https://aka.ms/arm-template/#parameters for "
			     "usage details",
		    asked);
	value = jv_object_get(jv_copy(p->values), jv_string(name));
	if (jv_is_valid(value)) {
		free(name);
		return value;
	}
	declaration = jv_at(jv_copy(p->declared), name);
	type = jv_dup_string(deploy_member(jv_copy(declaration), "type"));
	word = parameter_type(type);
	free(type);
	if (word == NULL) {
		no = parameter_fault(p, name,
		    "valid. Its type must be one of 'String, SecureString, "
		    "Int, Bool, Array, Object, SecureObject'.");
		goto out;
	}
	value = deploy_member(jv_at_nocase(jv_copy(p->given), name), "value");
	given = jv_get_kind(value) != JV_KIND_NULL;
	if (!given) {
		jv_free(value);
		value = jv_at_nocase(jv_copy(declaration), "defaultValue");
		if (jv_is_valid(value) && p->depth < MAX_DEPTH) {
			bool was = p->in_default;

			p->in_default = true;
			p->depth++;
			value = plan_lift_evaluate(p, value);
			p->depth--;
			p->in_default = was;
			if (!jv_is_valid(value)) {
				no = template_fault(
				    value, "The default of a parameter");
				goto out;
			}
		} else if (p->lenient && type_is_secure(word)) {
			jv_free(value);
			p->values = jv_put(p->values, name, jv_null());
			no = jv_null();
			goto out;
		} else {
			jv_free(value);
			no = parameter_fault(p, name,
			    "provided. Please see "
			    "https://aka.ms/arm-create-parameter-file for "
			    "usage details.");
			goto out;
		}
	}
	if (!has_type(value, word)) {
		no = type_fault(value, word);
		goto out;
	}
	no = check_limits(p, name, jv_copy(declaration), value);
	if (jv_is_valid(no))
		p->values = jv_put(p->values, name, jv_copy(value));
	jv_free(value);
out:
	if (jv_is_valid(no)) {
		jv_free(no);
		no = jv_at(jv_copy(p->values), name);
	}
	jv_free(declaration);
	free(name);
	return no;
}

jv
parameters_check(struct plan *p)
{
	jv no = jv_null();

	jv_object_foreach(p->given, key, item) {
		char *name = parameter_name(p, jv_string_value(key));
		jv reference_of = deploy_member(item, "reference");

		if (jv_is_valid(no) && name == NULL) {
			struct buf b = BUF_INIT;

			jv_object_foreach(p->declared, k, v) {
				buf_printf(&b, "%s%s", b.len ? ", " : "",
				    jv_string_value(k));
				jv_free(k);
				jv_free(v);
			}
			jv_free(no);
			no = template_invalid(
			    jv_text("The template parameters '%s' in the "
				    "parameters file are not valid; they are "
				    "not present in the original template and "
				    "can therefore not be provided at "
				    "deployment time. The only supported "
				    "parameters for this template are '%s'. "
				    "Please see "
				    "https://aka.ms/arm-pass-parameter-values "
				    "for usage details.",
				jv_string_value(key), b.len ? b.at : ""),
			    jv_null());
			buf_free(&b);
		} else if (jv_is_valid(no) &&
			   jv_get_kind(reference_of) != JV_KIND_NULL) {
			jv_free(no);
			no = arm_fail(501, "NotSimulated",
			    "hub-sim does not simulate parameters that are "
			    "kept in a key vault");
		}
		jv_free(reference_of);
		jv_free(key);
		free(name);
	}
	jv_object_foreach(p->declared, key, item) {
		jv_free(item);
		if (jv_is_valid(no)) {
			jv v = parameter_value(p, jv_string_value(key));

			if (jv_is_valid(v)) {
				jv_free(v);
			} else {
				jv_free(no);
				no = template_fault(v, "A parameter");
			}
		}
		jv_free(key);
	}
	return no;
}

jv
plan_parameters(struct plan *p)
{
	jv out = jv_object();

	jv_object_foreach(p->declared, key, declaration) {
		char *type = jv_dup_string(deploy_member(declaration, "type"));
		const char *word = parameter_type(type);
		jv one = jv_put(
		    jv_object(), "type", jv_string(word ? word : "String"));

		if (word && !type_is_secure(word))
			one = jv_put(one, "value",
			    jv_at(jv_copy(p->values), jv_string_value(key)));
		out = jv_object_set(out, key, one);
		free(type);
	}
	return out;
}
