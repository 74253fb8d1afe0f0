/* registry-edit: set the import mode of registry records, edit, drop, select.
 */
#include <stdlib.h>
#include <string.h>

#include "idset.h"  /* the ids of --ids */
#include "jqrun.h"  /* the user's expressions */
#include "json.h"   /* scan and splice, all other bytes stay */
#include "lines.h"  /* one record a line */
#include "msg.h"    /* warn, die, and the exit statuses */
#include "opt.h"    /* one table for parsing, --help and completion */
#include "out.h"    /* stdout, or a file that is complete or not there */
#include "record.h" /* what a record is */
#include "source.h" /* are two names one file? */

enum { MAX_SHOWN = 20, MAX_DEPTH = 32 };

static const char *mode, *where, *ids_file, *output, *rejects_file;
static struct opt_list sets, drops;
static bool allow_number_changes;

static const struct opt opts[] = {
	OPT_TEXT(0, "mode", "MODE", &mode,
	    "set importMode: create, update, createOrUpdate, delete, "
	    "updateTwin, ..."),
	OPT_LIST(0, "set", "PATH=JQ", &sets,
	    "set what PATH leads to, to what the jq expression makes of it"),
	OPT_LIST(0, "drop", "PATH", &drops, "drop what PATH leads to"),
	OPT_TEXT(0, "where", "JQ", &where,
	    "keep the records for which the jq expression is true"),
	OPT_TEXT(0, "ids", "FILE", &ids_file,
	    "keep the records listed: id or id/moduleId, one a line"),
	OPT_TEXT('o', "output", "FILE", &output, "write there (mode 0600)"),
	OPT_TEXT(0, "rejects", "FILE", &rejects_file,
	    "write the lines that are refused there, as they came in"),
	OPT_FLAG(0, "allow-number-changes", &allow_number_changes,
	    "let jq alter numbers it cannot keep, such as 1.0, in what --set "
	    "reads"),
	OPT_END,
};
static const struct tool tool = {
	.name = "registry-edit",
	.synopsis = "[--mode=MODE] [--set=PATH=JQ] [--drop=PATH] [--where=JQ] "
		    "[--ids=FILE] [FILE]",
	.summary =
	    "Set the import mode of registry records, edit, drop, select",
	.example =
	    "registry-edit --mode=updateTwin --set='tags.moved=true' \\\n"
	    "    --where='$moduleId == null' contoso.txt |\n"
	    "    registry-load --confirm=contoso env:IOTHUB_CONN_STRING",
	.opts = opts,
	.statuses = "02347",
	.operands_max = 1,
};

struct set {
	const char *path[MAX_DEPTH + 1];
	struct jqrun *program;
};

struct job {
	struct jqrun *where;
	struct idset ids;
	struct set *set;
	const char *(*deep)[MAX_DEPTH + 1]; /* drops below the top level */
	size_t deep_count;
	struct json_edit *top; /* drops of top-level members, and the mode */
	size_t top_count;
	struct out *out, *rejects;
	const char *input; /* for messages */
	long records, refused;
};

/* "properties.desired.hub" to names; spec is cut up and kept. */
static void
parse_path(char *spec, const char *option, const char *path[MAX_DEPTH + 1])
{
	size_t n = 0;
	char *rest = spec, *name;

	while ((name = strsep(&rest, "."))) {
		if (!*name)
			usage("%s: the path has an empty name", option);
		if (n == MAX_DEPTH)
			usage("%s: the path is deeper than %d", option,
			    MAX_DEPTH);
		path[n++] = name;
	}
	path[n] = NULL;
	/* A device may be renamed, with its modules and children: by --set. */
	if (n == 1 &&
	    (!strcmp(spec, "moduleId") ||
		(!strcmp(spec, "id") && strcmp(option, "--set") != 0)))
		usage("%s: '%s' says whose record it is and must stay", option,
		    spec);
}

/*
 * A program that sees a value as its input and the record's ids as variables.
 * libjq binds variables when it compiles, so they travel with the input; what
 * a program imports must stay in front.
 */
static struct jqrun *
compile(const char *text, const char *option)
{
	struct buf program = BUF_INIT;
	struct jqrun *p;
	struct err e;

	for (;;) {
		size_t blank = strspn(text, " \t\n");
		const char *end = strchr(text, ';');

		if ((strncmp(text + blank, "import ", 7) != 0 &&
			strncmp(text + blank, "include ", 8) != 0) ||
		    !end)
			break;
		buf_add(&program, text, (size_t)(end + 1 - text));
		text = end + 1;
	}
	if (!text[strspn(text, " \t\n")])
		usage("%s: the jq expression is empty", option);
	buf_printf(&program,
	    ".[0] as $id|.[1] as $moduleId|.[2] as $line|.[3]|(%s\n)", text);
	p = jqrun_compile(program.at, jv_object(), &e);
	if (!p)
		usage("%s: %s", option, e.text);
	buf_free(&program);
	return p;
}

static void
plan_set(const char *spec, struct set *set)
{
	char *text = xstrdup(spec), *equals = strchr(text, '=');

	if (!equals)
		usage("--set: '%s' is not PATH=JQ", spec);
	*equals = '\0';
	parse_path(text, "--set", set->path);
	set->program = compile(equals + 1, "--set");
}

static void
plan_drop(const char *spec, struct job *job)
{
	const char **path = job->deep[job->deep_count];

	parse_path(xstrdup(spec), "--drop", path);
	if (path[1])
		job->deep_count++;
	else
		job->top[job->top_count++] =
		    (struct json_edit){ path[0], { NULL, 0 } };
}

/* In place is well, since -o is complete or not there; but what was refused
 * is no registry. */
static void
check_files(const char *input)
{
	const struct out_file files[] = { { "output", output ? output : "-",
					      OUT_WRITE },
		{ "rejects", rejects_file, OUT_WRITE },
		{ "ids", ids_file, OUT_READ }, { NULL, NULL, 0 } };

	out_check(files);
	if (rejects_file && source_same(rejects_file, input))
		usage("--rejects would replace the input");
}

/* The command line, understood.  Compiles no jq unless there is some. */
static void
plan(struct job *job)
{
	struct err e;

	job->set = xcalloc(sets.count, sizeof *job->set);
	job->deep = xcalloc(drops.count, sizeof *job->deep);
	job->top = xcalloc(drops.count + 1, sizeof *job->top);
	if (mode && record_mode_of(mode) < 0)
		usage("--mode: unknown mode '%s'", mode);
	if (mode)
		job->top[job->top_count++] = (struct json_edit){ "importMode",
			span_of(xasprintf("\"%s\"",
			    record_mode_name(
				(enum record_mode)record_mode_of(mode)))) };
	for (size_t i = 0; i < drops.count; i++)
		plan_drop(drops.value[i], job);
	for (size_t i = 0; i < sets.count; i++)
		plan_set(sets.value[i], &job->set[i]);
	if (where)
		job->where = compile(where, "--where");
	if (ids_file && idset_read(&job->ids, ids_file, &e))
		die_err(&e);
	job->out = out_open(output, true);
	if (rejects_file)
		job->rejects = out_open(rejects_file, true);
}

static int
jq_failed(struct err *e, const char *option, jv error)
{
	char *why = jqrun_why(error);

	err_set(e, BAD_DATA, NULL, "%s: %s", option, why);
	free(why);
	return -1;
}

/* The first result for a value of a record; invalid without a message when
 * there is none. */
static jv
evaluate(struct jqrun *p, const struct record *rec, long line, jv value)
{
	jv module = rec->module ? jv_string(rec->module) : jv_null();

	return jqrun_first(p, JV_ARRAY(jv_string(rec->id), module,
				  jv_number((double)line), value));
}

/* 1: keep; 0: leave out; -1 with *e. */
static int
select_record(
    const struct job *job, const struct record *rec, long line, struct err *e)
{
	jv v;
	int keep;

	if (ids_file && !idset_lists(&job->ids, rec->id, rec->module))
		return 0;
	if (!job->where)
		return 1;
	v = json_jv_loose(rec->json.text);
	if (jv_is_valid(v))
		v = evaluate(job->where, rec, line, v);
	if (!jv_is_valid(v) && jv_invalid_has_msg(jv_copy(v)))
		return jq_failed(e, "--where", v);
	keep = jv_is_valid(v) && jv_get_kind(v) != JV_KIND_NULL &&
	       jv_get_kind(v) != JV_KIND_FALSE;
	jv_free(v);
	return keep;
}

/* One --set: out is the record with it done.  A result that equals what is
 * there, or none, leaves the bytes alone. */
static int
apply_set(const struct set *set, const struct record *rec, long line,
    struct span text, struct buf *out, struct err *e)
{
	struct span value = { "null", 4 };
	struct buf made = BUF_INIT;
	jv old, v;
	int found = json_get(text, set->path, &value, NULL), rc = 0;

	if (found < 0)
		return err_set(e, BAD_DATA, NULL,
		    "--set: a name of the path is there twice");
	if (!allow_number_changes && json_numbers_altered(value))
		return err_set(e, BAD_DATA, NULL,
		    "--set: %s holds a number that jq cannot keep "
		    "(--allow-number-changes lets it)",
		    set->path[0]);
	old = json_jv(value);
	if (!jv_is_valid(old))
		return jq_failed(e, "--set", old);
	v = evaluate(set->program, rec, line, jv_copy(old));
	if (!jv_is_valid(v) && jv_invalid_has_msg(jv_copy(v))) {
		jv_free(old);
		return jq_failed(e, "--set", v);
	}
	if (!jv_is_valid(v) || (found && jv_equal(jv_copy(old), jv_copy(v)))) {
		jv_free(v);
		buf_span(out, text);
	} else {
		json_add_jv(&made, v);
		rc = json_set_path(text, set->path, buf_peek(&made), out);
		if (rc)
			err_set(e, BAD_DATA, NULL,
			    "--set: something on the path is no object");
		buf_free(&made);
	}
	jv_free(old);
	return rc;
}

/* All edits.  *text is the line and becomes the record to write. */
static int
edit_record(const struct job *job, struct record *rec, long line,
    struct span *text, struct buf work[2], struct err *e)
{
	size_t turn = 0;

	if (job->top_count) {
		buf_clear(&work[turn]);
		json_splice(&rec->json, job->top, job->top_count, &work[turn]);
		*text = buf_peek(&work[turn]);
	}
	for (size_t i = 0; i < job->deep_count + sets.count; i++) {
		struct buf *out = &work[turn = !turn];
		size_t s = i - job->deep_count;

		buf_clear(out);
		if (i >= job->deep_count) {
			if (apply_set(&job->set[s], rec, line, *text, out, e))
				return -1;
		} else if (json_set_path(*text, job->deep[i],
			       (struct span){ NULL, 0 }, out)) {
			return err_set(e, BAD_DATA, NULL,
			    "--drop: a name of the path is there twice");
		}
		*text = buf_peek(out);
	}
	/* A --set can make what no record may hold, such as a wrong mode. */
	return sets.count ? record_read(*text, rec, e) : 0;
}

static void
refuse(struct job *job, const struct line *line, const char *why)
{
	if (job->rejects)
		out_span(job->rejects, line->raw);
	if (++job->refused <= MAX_SHOWN)
		warn(job->input, "line %ld: %s", line->number, why);
}

static void
filter_line(struct job *job, const struct line *line, struct record *rec,
    struct buf work[2])
{
	const char *start = line->text.at, *end = line->raw.at + line->raw.len;
	struct span text, old;
	struct err e;
	int keep;

	if (line->number == 1 && record_is_comment(line->text)) {
		note("'%s': line 1: skipped: no record (exports without keys "
		     "begin with such a line)",
		    job->input);
		return;
	}
	if (span_is_blank(line->text))
		return;
	if (record_read(line->text, rec, &e)) {
		refuse(job, line, e.text);
		return;
	}
	text = old = rec->json.text;
	keep = select_record(job, rec, line->number, &e);
	if (keep < 0 ||
	    (keep && edit_record(job, rec, line->number, &text, work, &e))) {
		refuse(job, line, e.text);
		return;
	}
	job->records++;
	if (!keep)
		return;
	/* White space around it, and the end of the line, stay as well. */
	out_add(job->out, start, (size_t)(old.at - start));
	out_span(job->out, text);
	out_add(job->out, old.at + old.len, (size_t)(end - old.at) - old.len);
	if (end[-1] != '\n')
		out_add(job->out, "\n", 1);
}

static void
filter(struct job *job, struct lines *l)
{
	struct buf work[2] = { BUF_INIT, BUF_INIT };
	struct record rec = { .id = NULL };
	struct line line;
	struct err e;
	enum lines_got got;

	while ((got = lines_next(l, &line, &e)) > LINES_END) {
		if (got == LINES_LINE)
			filter_line(job, &line, &rec, work);
		else if (got == LINES_LAST)
			refuse(job, &line, "the line is longer than 4 MiB");
		else if (job->rejects)
			out_span(job->rejects, line.raw);
	}
	if (got == LINES_FAILED)
		die_err(&e);
	record_free(&rec);
	buf_wipe(&work[0]);
	buf_wipe(&work[1]);
}

static enum status
finish(struct job *job)
{
	size_t missing;

	for (size_t i = 0; i < sets.count; i++)
		jqrun_free(job->set[i].program);
	jqrun_free(job->where);
	if (job->refused > MAX_SHOWN)
		warn(job->input,
		    "%ld lines were refused; the first %d are named",
		    job->refused, MAX_SHOWN);
	if (job->records + job->refused == 0)
		die(BAD_DATA, job->input, "is empty: no record in it");
	if (job->rejects)
		out_close(job->rejects);
	if (!job->records)
		die(BAD_DATA, job->input, "no line of it is a record");
	out_close(job->out);
	missing = idset_unmet(&job->ids);
	if (missing)
		warn(ids_file, "%zu of %zu ids were not in the input", missing,
		    job->ids.count);
	idset_free(&job->ids);
	return job->refused ? PARTLY_DONE : DONE;
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	static struct job job = { .input = "stdin" };
	struct lines *l;
	struct err e;

	if (first < argc && strcmp(argv[first], "-") != 0)
		job.input = argv[first];
	check_files(job.input == argv[first] ? job.input : "/dev/stdin");
	plan(&job);
	l = lines_open_file(first < argc ? argv[first] : NULL, &e);
	if (!l)
		die_err(&e);
	filter(&job, l);
	lines_close(l);
	return finish(&job);
}
