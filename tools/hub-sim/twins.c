/* twins.c: showing and changing twins (CONTRACT 13). */
#include "registry.h"

#include <openssl/evp.h>
#include <stdlib.h>

void
twin_etag_text(int64_t etag, char out[24])
{
	unsigned char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)((uint64_t)etag >> (56 - 8 * i));
	(void)EVP_EncodeBlock((unsigned char *)out, bytes, 8);
}

/* The stored object with the service's two members at its end. */
static void
add_section(struct buf *out, struct span section, struct span meta,
    const struct stamp *stamp, int64_t version)
{
	struct each e;

	buf_add(out, section.at, section.len - 1);
	each_begin(&e, section);
	if (each_next(&e))
		buf_char(out, ',');
	buf_text(out, "\"$metadata\":");
	if (meta.at)
		buf_span(out, meta);
	else
		metadata_merge(span_of("{}"), section, stamp, out);
	buf_text(out, ",\"$version\":");
	add_decimal(out, version);
	buf_char(out, '}');
}

void
twin_text(const struct row *row, struct buf *out)
{
	static const char *const types[] = { "sas", "selfSigned",
		"certificateAuthority", "none" };
	char etag[24], identity[40], time[32] = "0001-01-01T00:00:00Z";
	struct stamp birth = { .version = 1 };

	twin_etag_text(row->twin_etag, etag);
	etag_text(row->etag, identity);
	if (row->status_time)
		sim_iso_time(row->status_time, time);
	sim_iso_time(row->born, birth.time);
	text_or_null(out, "{\"deviceId\":", row->id);
	if (row->module.len)
		text_or_null(out, ",\"moduleId\":", row->module);
	text_or_null(out, ",\"etag\":", span_of(etag));
	text_or_null(out, ",\"deviceEtag\":", span_of(identity));
	buf_text(out, row->disabled ? ",\"status\":\"disabled\""
				    : ",\"status\":\"enabled\"");
	buf_text(out, ",\"statusReason\":");
	buf_span(out, row->reason.at ? row->reason : span_of("null"));
	text_or_null(out, ",\"statusUpdateTime\":", span_of(time));
	buf_text(out,
	    ",\"connectionState\":\"Disconnected\","
	    "\"lastActivityTime\":\"0001-01-01T00:00:00Z\","
	    "\"cloudToDeviceMessageCount\":0,\"authenticationType\":\"");
	buf_text(out, types[row->auth]);
	text_or_null(
	    out, "\",\"x509Thumbprint\":{\"primaryThumbprint\":", row->thumb1);
	text_or_null(out, ",\"secondaryThumbprint\":", row->thumb2);
	buf_text(out, "},\"modelId\":\"\",\"version\":");
	add_decimal(out, row->version);
	buf_text(out, ",\"tags\":");
	buf_span(out, row->tags);
	buf_text(out, ",\"properties\":{\"desired\":");
	add_section(
	    out, row->desired, row->desired_meta, &birth, row->desired_version);
	buf_text(out, ",\"reported\":");
	birth.version = 0;
	add_section(out, row->reported, (struct span){ NULL, 0 }, &birth,
	    row->reported_version);
	buf_char(out, '}');
	edge_text(row, false, out);
	buf_char(out, '}');
}

/* The same with what configurations say of it, if the hub shows that. */
void
twin_show(struct visit *v, const struct row *row, struct buf *out)
{
	struct buf states = BUF_INIT;

	twin_text(row, out);
	if (sim_doubt_is("twin-configurations", "absent") ||
	    !configurations_of(v, row->seq, &states)) {
		buf_free(&states);
		return;
	}
	out->len--; /* its last brace */
	buf_text(out, ",\"configurations\":");
	buf_span(out, buf_peek(&states));
	buf_char(out, '}');
	buf_free(&states);
}

/* What is kept of $metadata, now that it is no longer that of birth. */
static void
desired_metadata(struct visit *v, const struct row *row, struct span patch,
    bool replace, struct buf *out)
{
	struct stamp now = { .version = row->desired_version + 1 },
		     birth = { .version = 1 };
	struct buf old = BUF_INIT;

	sim_iso_time(v->now, now.time);
	if (replace) {
		metadata_merge(span_of("{}"), patch, &now, out);
		return;
	}
	if (row->desired_meta.at) {
		buf_span(&old, row->desired_meta);
	} else {
		sim_iso_time(row->born, birth.time);
		metadata_merge(span_of("{}"), row->desired, &birth, &old);
	}
	metadata_merge(buf_peek(&old), patch, &now, out);
	buf_free(&old);
}

/* The section as it is to be: *change becomes it, in *room if need be. */
static int
next_section(const char *what, struct span old, struct span *change, size_t max,
    bool replace, struct buf *room, struct refusal *f)
{
	bool cleaning;
	struct buf merged = BUF_INIT;
	struct each e;
	int result;

	/* Into nothing, all of it goes as it is. */
	each_begin(&e, old);
	if (replace || !each_next(&e))
		return section_take(what, change, max, room, f);
	if (section_check(what, *change, max, &cleaning, f))
		return -1;
	section_merge(old, *change, &merged);
	*change = buf_peek(&merged);
	/* Its size is known only now; and line ends may have come in. */
	result = section_take(what, change, max, room, f);
	if (result == 0 && change->at == merged.at) {
		buf_free(room);
		*room = merged;
		return 0;
	}
	buf_free(&merged);
	return result;
}

static bool
names_metadata(struct span section)
{
	return object_get(section, "$metadata").at ||
	       object_get(section, "$version").at;
}

int
twin_write(struct visit *v, const char *id, const char *module,
    const char *match, struct span tags, struct span desired, int replace,
    struct refusal *f)
{
	struct row row;
	char etag[24];
	struct buf new_tags = BUF_INIT, new_desired = BUF_INIT, meta = BUF_INIT;
	struct span next = desired;
	int result = -1;
	bool changed;

	/* A missing module's twin: 404 DeviceNotFound, says CONTRACT 13. */
	if (!row_find(v, id, module, &row))
		return refuse(f, NO_DEVICE, "%s '%s' is not registered.",
		    *module ? "A module with ID" : "A device with ID",
		    *module ? module : id);
	twin_etag_text(row.twin_etag, etag);
	if (etag_matches(match, etag) == 0)
		return refuse(f, PRECONDITION, "ETag mismatch");
	if (replace != REPLACE && sim_doubt_is("twin-metadata", "refused") &&
	    (names_metadata(tags) || names_metadata(desired)))
		return refuse(f, ARGUMENT_INVALID,
		    "$metadata and $version cannot be written");
	if (tags.at && next_section("tags", row.tags, &tags, MAX_TAGS, replace,
			   &new_tags, f))
		goto out;
	if (desired.at) {
		if (next_section("properties.desired", row.desired, &next,
			MAX_PROPERTIES, replace & REPLACE_DESIRED, &new_desired,
			f))
			goto out;
	}
	changed = (tags.at && !json_same(tags, row.tags)) ||
		  (desired.at && !json_same(next, row.desired)) ||
		  !sim_doubt_is("no-change-version", "same");
	if (!changed) {
		result = 0;
		goto out;
	}
	if (desired.at) {
		desired_metadata(v, &row,
		    replace & REPLACE_DESIRED ? next : desired,
		    replace & REPLACE_DESIRED, &meta);
		row.desired = next;
		row.desired_meta = buf_peek(&meta);
		row.desired_version++;
	}
	if (tags.at)
		row.tags = tags;
	row.version++;
	row.twin_etag++;
	result = row_save_twin(v, &row);
	if (tags.at)
		configurations_mark(v, row.seq);
out:
	buf_free(&new_tags);
	buf_free(&new_desired);
	buf_free(&meta);
	return result;
}

/* Only what differs is stamped. */
static void
differing_metadata(struct visit *v, const struct row *row, struct span desired,
    struct buf *out)
{
	struct stamp now = { .version = row->desired_version + 1 },
		     birth = { .version = 1 };
	struct buf old = BUF_INIT;

	sim_iso_time(v->now, now.time);
	if (!row->desired_meta.at) {
		sim_iso_time(row->born, birth.time);
		metadata_merge(span_of("{}"), row->desired, &birth, &old);
	} else {
		buf_span(&old, row->desired_meta);
	}
	metadata_follow(buf_peek(&old), row->desired, desired, &now, out);
	buf_free(&old);
}

int
twin_set_desired(struct visit *v, struct row *row, struct span desired,
    bool whole, struct refusal *f)
{
	struct buf room = BUF_INIT, meta = BUF_INIT;
	int result = -1;

	if (section_take("properties.desired", &desired, MAX_PROPERTIES, &room,
		f) == 0) {
		if (whole)
			desired_metadata(v, row, desired, true, &meta);
		else
			differing_metadata(v, row, desired, &meta);
		row->desired = desired;
		row->desired_meta = buf_peek(&meta);
		row->desired_version++;
		row->version++;
		row->twin_etag++;
		row->deployed = true;
		result = row_save_twin(v, row);
	}
	buf_free(&room);
	buf_free(&meta);
	return result;
}

static bool
is_null(struct span found)
{
	return found.at && json_kind_of(found) == JSON_NULL;
}

/* A section of a body; null clears it. */
static struct span
section_of(struct span object, const char *name, bool replace)
{
	struct span found = object_get(object, name);

	if (!found.at)
		return replace ? span_of("{}") : found;
	return is_null(found) ? span_of("{}") : found;
}

static int
change(struct visit *v, const char *id, const char *module, bool put,
    struct refusal *f)
{
	struct json body = { .count = 0 };
	struct span properties, tags, desired;
	int replace = put ? REPLACE : 0;
	const char *match = v->q->header(v->q, "if-match");
	int result = -1;

	if (visit_body(v, &body, f))
		goto out;
	if (body.kind != JSON_OBJECT) {
		(void)refuse(f, NOT_PARSED, "An object was expected");
		goto out;
	}
	properties = object_get(body.text, "properties");
	if (!properties.at)
		properties = span_of("{}");
	tags = section_of(body.text, "tags", put);
	desired = section_of(properties, "desired", put);
	if (is_null(object_get(body.text, "tags")))
		replace |= REPLACE_TAGS;
	if (is_null(object_get(properties, "desired")))
		replace |= REPLACE_DESIRED;
	result = twin_write(v, id, module, match, tags, desired, replace, f);
out:
	json_free(&body);
	return result;
}

/* /twins/{id} and /twins/{id}/modules/{mid} */
void
twins_handle(struct visit *v)
{
	char *id = sim_segment(v->q, 1), *word = sim_segment(v->q, 2),
	     *module = sim_segment(v->q, 3);
	const char *method = v->q->method, *mid = module ? module : "";
	struct refusal f;
	struct row row;
	struct buf body = BUF_INIT;
	int result = -1;

	if (word && strcmp(word, "modules") != 0) {
		sim_missing(v->r, "direct methods");
		goto done;
	}
	if (visit_allowed(v, "ServiceConnect", &f))
		goto out;
	if (!id || (word && !module)) {
		(void)refuse(&f, FORMAT_ERROR, "No such resource");
		goto out;
	}
	if (strcmp(method, "PATCH") == 0 || strcmp(method, "PUT") == 0) {
		if (change(v, id, mid, *method == 'P' && method[1] == 'U', &f))
			goto out;
	} else if (strcmp(method, "GET") != 0) {
		(void)refuse(&f, 405, 405000, "GenericMethodNotAllowed",
		    "%s is not allowed", method);
		goto out;
	}
	if (!row_find(v, id, mid, &row)) {
		(void)refuse(&f, NO_DEVICE, "%s '%s' is not registered.",
		    *mid ? "A module with ID" : "A device with ID",
		    *mid ? mid : id);
		goto out;
	}
	twin_show(v, &row, &body);
	reply_text(v, 200, &body);
	result = 0;
out:
	if (result)
		reply_refusal(v, &f);
done:
	buf_free(&body);
	free(id);
	free(word);
	free(module);
}
