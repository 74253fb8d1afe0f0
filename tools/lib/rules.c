/* rules.c: the rules in share/jq as a tool runs them; see rules.h. */
#include "rules.h"

#include "doc.h"
#include "msg.h"

#define SAY "$say"

struct jqrun *
rules_open(const char *program)
{
	struct err e;
	struct jqrun *rules = jqrun_compile(program, jv_object(), &e);

	if (!rules)
		die_err(&e);
	return rules;
}

jv
rules_run(struct jqrun *rules, const char *stage, jv input)
{
	jv out, said;

	out = jv_or_die(
	    jqrun_first(rules, jv_put(input, "stage", jv_string(stage))));
	if (jv_get_kind(out) != JV_KIND_OBJECT)
		return out;
	said = jv_at(jv_copy(out), SAY);
	if (jv_get_kind(said) == JV_KIND_ARRAY)
		jv_array_foreach(said, i, text) {
			warn(NULL, "%s", jv_string_value(text));
			jv_free(text);
		}
	jv_free(said);
	return jv_without(out, SAY);
}
