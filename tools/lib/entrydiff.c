/* entrydiff.c: do two records say the same?  See entrydiff.h. */
#include "entrydiff.h"

#include <stdlib.h>

static const struct {
	const char *path[3];
	const char *pointer;
	enum json_diff_rule rule;
	const char *camel[3]; /* the other spelling, of the REST API */
} parts[PARTS] = {
	[STATUS] = { { "status" }, "/status", JSON_DIFF_ALL },
	[REASON] = { { "statusReason" }, "/statusReason", JSON_DIFF_SPARSE },
	[TYPE] = { { "authentication", "type" }, "/authentication/type",
	    JSON_DIFF_SPARSE },
	[KEYS] = { { "authentication", "symmetricKey" },
	    "/authentication/symmetricKey", JSON_DIFF_SPARSE },
	[THUMBPRINTS] = { { "authentication", "x509Thumbprint" },
	    "/authentication/x509Thumbprint", JSON_DIFF_SPARSE },
	[CAPABILITIES] = { { "capabilities" }, "/capabilities",
	    JSON_DIFF_SPARSE },
	[MANAGED] = { { "managedBy" }, "/managedBy", JSON_DIFF_SPARSE },
	[SCOPE] = { { "deviceScope" }, "/deviceScope", JSON_DIFF_SPARSE },
	[PARENTS] = { { "parentScopes" }, "/parentScopes", JSON_DIFF_SPARSE },
	[TAGS] = { { "tags" }, "/tags", JSON_DIFF_SECTION },
	[DESIRED] = { { "properties", "desired" }, "/properties/desired",
	    JSON_DIFF_SECTION },
	[REPORTED] = { { "properties", "reported" }, "/properties/reported",
	    JSON_DIFF_SECTION },
	[SCHEMA] = { { "SchemaVersion" }, "/SchemaVersion", JSON_DIFF_SPARSE,
	    { "schemaVersion" } },
	[LABELS] = { { "Labels" }, "/Labels", JSON_DIFF_SPARSE, { "labels" } },
	[DEVICE_CONTENT] = { { "Content", "DeviceContent" },
	    "/Content/DeviceContent", JSON_DIFF_SECTION,
	    { "content", "deviceContent" } },
	[MODULE_CONTENT] = { { "Content", "ModuleContent" },
	    "/Content/ModuleContent", JSON_DIFF_SECTION,
	    { "content", "moduleContent" } },
	[MODULES_CONTENT] = { { "Content", "ModulesContent" },
	    "/Content/ModulesContent", JSON_DIFF_SECTION,
	    { "content", "modulesContent" } },
	[CONDITION] = { { "TargetCondition" }, "/TargetCondition",
	    JSON_DIFF_SPARSE, { "targetCondition" } },
	[PRIORITY] = { { "Priority" }, "/Priority", JSON_DIFF_ALL,
	    { "priority" } },
	[METRICS] = { { "Metrics", "Queries" }, "/Metrics/Queries",
	    JSON_DIFF_SPARSE, { "metrics", "queries" } },
};

const char *
entry_part_pointer(enum entry_part part)
{
	return parts[part].pointer;
}

/* The parent in ms-azure-iot-edge://{parent}-{number}: the number is the
 * hub's own (CONTRACT 12.3). */
static void
add_parent(struct buf *b, struct span scope)
{
	static const char prefix[] = "ms-azure-iot-edge://";
	char *text = json_string(scope), *id = text, *dash;

	if (text && !strncmp(text, prefix, sizeof prefix - 1)) {
		id += sizeof prefix - 1;
		dash = strrchr(id, '-');
		if (dash)
			*dash = '\0';
	}
	if (text)
		buf_json(b, id, strlen(id));
	else
		buf_span(b, scope);
	free(text);
}

/* Replaces the scopes by the parents they name.  A device that is no Edge
 * device has the same one twice, and either says it. */
static void
name_parents(struct entry *e)
{
	struct span *scope = &e->part[SCOPE], *list = &e->part[PARENTS];
	struct buf *one = &e->parents[0], *all = &e->parents[1];
	struct json j = { .count = 0 };
	struct json_fault f;

	buf_clear(one);
	buf_clear(all);
	if (list->at && *list->at == '[' && !json_scan(*list, &j, &f) &&
	    j.count) {
		buf_char(all, '[');
		for (size_t i = 0; i < j.count; i++) {
			if (i)
				buf_char(all, ',');
			add_parent(all, j.member[i].value);
		}
		buf_char(all, ']');
		*list = buf_peek(all);
	}
	if (e->rec.edge || e->rec.module)
		*scope = (struct span){ NULL, 0 };
	else if (scope->len > 2)
		add_parent(one, *scope);
	else if (j.count)
		add_parent(one, j.member[0].value);
	if (one->len)
		*scope = buf_peek(one);
	if (one->len && !all->len) {
		buf_printf(all, "[%s]", one->at);
		*list = buf_peek(all);
	}
	json_free(&j);
}

/* What a service fills in when it is not said. */
static void
fill_in(struct entry *e)
{
	struct span *type = &e->part[TYPE], *status = &e->part[STATUS];

	if (!status->at || span_is(*status, "null"))
		*status = span_of("\"enabled\"");
	if (type->at && !span_is(*type, "null"))
		return;
	if (e->part[KEYS].len > 4)
		*type = span_of("\"sas\"");
	else if (e->part[THUMBPRINTS].len > 4)
		*type = span_of("\"selfSigned\"");
}

int
entry_read(struct span line, struct entry *e, struct err *why)
{
	if (record_read(line, &e->rec, why))
		return -1;
	e->configuration = false;
	for (size_t p = 0; p < RECORD_PARTS; p++) {
		const struct json_member *m;
		struct span *part = &e->part[p];

		*part = (struct span){ NULL, 0 };
		/* record_read() has refused what is there twice. */
		if (json_find(&e->rec.json, parts[p].path[0], &m) != 1)
			continue;
		if (!parts[p].path[1])
			*part = m->value;
		else if (json_get(m->value, parts[p].path + 1, part, NULL) < 0)
			return err_set(why, BAD_DATA, NULL,
			    "%s: a member is there twice", parts[p].pointer);
	}
	fill_in(e);
	name_parents(e);
	return 0;
}

/* In either spelling; both at once are one too many. */
static int
find_part(struct span text, size_t p, struct span *part, struct err *why)
{
	struct span other = { NULL, 0 };
	int found = json_get(text, parts[p].path, part, NULL);
	int also = json_get(text, parts[p].camel, &other, NULL);

	if (found < 0 || also < 0 || found + also > 1)
		return err_set(why, BAD_DATA, NULL,
		    "%s: a member is there twice", parts[p].pointer);
	if (also)
		*part = other;
	return 0;
}

int
entry_read_configuration(struct span line, struct entry *e, struct err *why)
{
	struct json *j = &e->rec.json;
	const struct json_member *id = NULL, *content = NULL;
	struct json_fault fault;

	free(e->rec.id);
	e->rec.id = NULL;
	e->configuration = true;
	if (json_scan(line, j, &fault))
		return err_set(why, BAD_DATA, NULL, "no JSON: %s at byte %zu",
		    fault.reason, fault.offset + 1);
	if (json_find(j, "Id", &id) + json_find(j, "id", &id) == 1)
		e->rec.id = json_string(id->value);
	if (!e->rec.id || !*e->rec.id)
		return err_set(why, BAD_DATA, NULL, "no configuration: no Id");
	if (json_find(j, "Content", &content) +
		json_find(j, "content", &content) !=
	    1)
		return err_set(
		    why, BAD_DATA, NULL, "no configuration: no Content");
	for (size_t p = RECORD_PARTS; p < PARTS; p++) {
		e->part[p] = (struct span){ NULL, 0 };
		if (find_part(j->text, p, &e->part[p], why))
			return -1;
	}
	return 0;
}

void
entry_free(struct entry *e)
{
	record_free(&e->rec);
	buf_free(&e->parents[0]);
	buf_free(&e->parents[1]);
}

struct part_walk {
	entry_differs *differs;
	void *ctx;
	enum entry_part part;
};

static void
on_difference(void *ctx, const char *pointer, struct span a, struct span b)
{
	const struct part_walk *w = ctx;

	w->differs(w->ctx, w->part, pointer, a, b);
}

void
entry_diff(const struct entry *a, const struct entry *b, entry_differs *differs,
    void *ctx)
{
	struct part_walk w = { differs, ctx, STATUS };
	struct span none = { NULL, 0 };
	int p = a->configuration       ? RECORD_PARTS
		: a->rec.system_module ? DESIRED
				       : STATUS;
	int end = a->configuration ? PARTS : RECORD_PARTS;

	for (; p < end; p++) {
		/* An Edge device's own scope is nobody's parent. */
		bool own = p == SCOPE && (a->rec.edge || b->rec.edge);

		w.part = (enum entry_part)p;
		json_diff(own ? none : a->part[p], own ? none : b->part[p],
		    parts[p].rule, parts[p].pointer, on_difference, &w);
	}
}

static void
on_any(void *ctx, const char *pointer, struct span a, struct span b)
{
	bool *differ = ctx;

	(void)pointer, (void)a, (void)b;
	*differ = true;
}

bool
entry_counts(const struct entry *e)
{
	bool any = e->configuration || !e->rec.system_module;

	if (any)
		return true;
	json_diff(e->part[DESIRED], (struct span){ NULL, 0 }, JSON_DIFF_SECTION,
	    "", on_any, &any);
	return any;
}
