/* jqrun.c: a jq program run by libjq; see jqrun.h. */
#include "jqrun.h"

#include <jq.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "doc.h"
#include "share.h"

struct jqrun {
	jq_state *jq;
};

/* libjq reports each compile error as one string; keep the first. */
static void
keep_first(void *ctx, jv message)
{
	struct err *e = ctx;
	jv text = jq_format_error(jv_copy(message));
	const char *s = jv_string_peek(text);

	if (s && !*e->text) {
		if (!strncmp(s, "jq: error: ", 11))
			s += 11;
		(void)err_set(
		    e, BAD_USAGE, NULL, "jq: %.*s", (int)strcspn(s, "\n"), s);
	}
	jv_free(text);
	jv_free(message);
}

struct jqrun *
jqrun_compile(const char *program, jv args, struct err *e)
{
	struct jqrun *p = xcalloc(1, sizeof *p);
	const char *home = getenv("HOME");
	char *kept = home ? xstrdup(home) : NULL;
	char *dir = share_path("jq");
	int ok;

	*e = (struct err){ .status = BAD_USAGE };
	p->jq = jq_init();
	if (!p->jq)
		die(LOCAL_FAILURE, NULL, "out of memory");
	jq_set_error_cb(p->jq, keep_first, e);
	jq_set_attr(
	    p->jq, jv_string("JQ_LIBRARY_PATH"), JV_ARRAY(jv_string(dir)));
	jq_set_attr(p->jq, jv_string("JQ_ORIGIN"), jv_string(dir));

	/* libjq 1.6 loads $HOME/.jq, whose map() would replace ours. */
	(void)unsetenv("HOME");
	ok = jq_compile_args(p->jq, program, args);
	if (kept)
		(void)setenv("HOME", kept, 1);
	free(kept);
	free(dir);
	jq_set_error_cb(p->jq, NULL, NULL);
	if (ok)
		return p;
	if (!*e->text)
		(void)err_set(
		    e, BAD_USAGE, NULL, "jq: program does not compile");
	jqrun_free(p);
	return NULL;
}

jv
jqrun_first(struct jqrun *p, jv input)
{
	jq_start(p->jq, input, 0);
	return jq_next(p->jq);
}

char *
jqrun_why(jv error)
{
	jv msg = jv_invalid_get_msg(error);
	struct buf b = BUF_INIT;
	int depth = 0;

	if (jv_get_kind(msg) != JV_KIND_STRING) {
		jv_free(msg);
		msg = jv_string("error");
	}
	for (const char *c = jv_string_value(msg); *c; c++) {
		depth -= *c == ')' && depth;
		if (depth == 0)
			buf_char(&b, *c);
		depth += *c == '(';
	}
	jv_free(msg);
	return b.at ? b.at : xstrdup("error");
}

void
jqrun_free(struct jqrun *p)
{
	if (!p)
		return;
	jq_teardown(&p->jq);
	free(p);
}
