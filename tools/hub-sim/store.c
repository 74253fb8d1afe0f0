/* store.c: all state, in SQLite; see store.h and sim.h. */
#include "store.h"

#include "content.h"
#include "failover.h"
#include "roles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SLOTS = 1024,             /* statements; a power of two */
	APPLICATION = 0x68756273, /* "hubs" */
	VERSION = 2,
};

struct slot {
	const char *text;
	sqlite3_stmt *stmt;
	bool used; /* in this turn */
};

struct store {
	struct slot slot[SLOTS];
	struct slot *used[SLOTS];
	size_t used_count;
	int lock; /* holds the file against a second hub-sim */
	sqlite3_stmt *begin, *commit;
	uint64_t undone; /* how often something was rolled back */
	bool failed, open;
	char reason[256];
};

void
store_fail(struct sim *s, const char *what, const char *why)
{
	if (s->store->failed)
		return;
	s->store->failed = true;
	(void)snprintf(
	    s->store->reason, sizeof s->store->reason, "%s: %s", what, why);
}

static void
fail(struct sim *s, const char *what)
{
	store_fail(s, what, sqlite3_errmsg(s->db));
}

static int
run(struct sim *s, const char *sql, struct err *e, const char *file)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	if (sqlite3_errcode(s->db) == SQLITE_NOTADB)
		return err_set(e, BAD_DATA, file, "is no hub-sim database");
	return err_set(e, LOCAL_FAILURE, file, "%s", sqlite3_errmsg(s->db));
}

static int
number(struct sim *s, const char *pragma)
{
	sqlite3_stmt *stmt;
	int n = -1;

	if (sqlite3_prepare_v2(s->db, pragma, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		n = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return n;
}

/*
 * The file is made here and not by SQLite, since it holds keys (0600), and is
 * kept open: closing a second descriptor would drop SQLite's own locks.
 */
static int
take(struct sim *s, const char *file, bool *fresh, struct err *e)
{
	struct stat st;

	s->store->lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->store->lock == -1 || fstat(s->store->lock, &st) == -1)
		return err_set(e, LOCAL_FAILURE, file, "cannot be opened: %s",
		    strerror(errno));
	if (flock(s->store->lock, LOCK_EX | LOCK_NB) == -1)
		return err_set(
		    e, LOCAL_FAILURE, file, "is in use by another hub-sim");
	*fresh = st.st_size == 0;
	return 0;
}

/* A file that was never filled to the end is as good as a new one. */
static int
check(struct sim *s, const char *file, bool *fresh, struct err *e)
{
	int version, application;

	if (run(s, "PRAGMA schema_version", e, file))
		return -1;
	version = number(s, "PRAGMA user_version");
	application = number(s, "PRAGMA application_id");
	if (version == 0 && application == 0 &&
	    number(s, "SELECT count(*) FROM sqlite_master") == 0)
		*fresh = true;
	else if (application != APPLICATION)
		return err_set(e, BAD_DATA, file, "is no hub-sim database");
	else if (version != VERSION)
		return err_set(e, BAD_DATA, file,
		    "was made by another version of hub-sim: its layout is "
		    "%d, this one's %d",
		    version, VERSION);
	return 0;
}

int
store_open(struct sim *s, const char *file, const char *dir, bool *fresh,
    struct err *e)
{
	char *path = file ? xstrdup(file) : xasprintf("%s/state.db", dir);
	static const char own_schema[] = "CREATE TABLE IF NOT EXISTS note "
					 "(name TEXT PRIMARY KEY, value TEXT)";
	const char *const schemas[] = { own_schema, arm_schema, registry_schema,
		deploy_schema, blob_schema, jobs_schema, failover_schema,
		roles_schema };
	int result = -1;

	/* One thread, so no locks; nobody asks how much memory is in use. */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	s->store = xcalloc(1, sizeof *s->store);
	if (take(s, path, fresh, e))
		goto out;
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE, NULL) !=
	    SQLITE_OK) {
		(void)err_set(e, LOCAL_FAILURE, path, "%s",
		    s->db ? sqlite3_errmsg(s->db) : "out of memory");
		goto out;
	}
	(void)sqlite3_busy_timeout(s->db, 5000);
	if (run(s,
		"PRAGMA page_size=8192; PRAGMA cache_size=-16384;"
		"PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON;",
		e, path) ||
	    check(s, path, fresh, e) ||
	    run(s,
		file ? "PRAGMA synchronous=NORMAL"
		     : "PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE",
		e, path) ||
	    run(s, *fresh ? "PRAGMA journal_mode=DELETE" : "SELECT 1", e,
		path) ||
	    run(s, "BEGIN IMMEDIATE", e, path))
		goto out;
	for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
		if (run(s, schemas[i], e, path))
			goto out;
	if (run(s, "PRAGMA application_id=1752523379; PRAGMA user_version=2", e,
		path))
		goto out;
	if (content_open(s, path, file != NULL, e))
		goto out;
	s->store->open = true;
	result = 0;
out:
	free(path);
	return result;
}

int
store_ready(struct sim *s, struct err *e)
{
	if (store_commit(s))
		return err_set(e, LOCAL_FAILURE, NULL, "%s", s->store->reason);
	if (run(s, "PRAGMA journal_mode=WAL", e, NULL))
		return -1;
	/* A turn that only reads never asks for the right to write. */
	if (sqlite3_prepare_v3(s->db, "BEGIN", -1, SQLITE_PREPARE_PERSISTENT,
		&s->store->begin, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v3(s->db, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT,
		&s->store->commit, NULL) != SQLITE_OK)
		return err_set(
		    e, LOCAL_FAILURE, NULL, "%s", sqlite3_errmsg(s->db));
	return 0;
}

void
store_close(struct sim *s)
{
	if (!s->store)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		(void)sqlite3_finalize(s->store->slot[i].stmt);
	(void)sqlite3_finalize(s->store->begin);
	(void)sqlite3_finalize(s->store->commit);
	(void)sqlite3_close(s->db);
	content_close(s);
	free(s->count.hub);
	s->count.hub = NULL;
	if (s->store->lock != -1)
		(void)close(s->store->lock);
	free(s->store);
	s->store = NULL;
	s->db = NULL;
}

char *
store_note(struct sim *s, const char *name)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT value FROM note WHERE name = ?");

	sim_bind(q, 1, name);
	if (sim_step(s, q) != SQLITE_ROW)
		return NULL;
	return span_dup(sim_column(q, 0));
}

void
store_set_note(struct sim *s, const char *name, const char *value)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT OR REPLACE INTO note VALUES (?, ?)");

	sim_bind(q, 1, name);
	sim_bind(q, 2, value);
	(void)sim_step(s, q);
}

static bool
once(sqlite3_stmt *stmt)
{
	bool good = sqlite3_step(stmt) == SQLITE_DONE;

	(void)sqlite3_reset(stmt);
	return good;
}

void
store_begin(struct sim *s)
{
	s->store->failed = false;
	s->store->open = once(s->store->begin);
	if (!s->store->open)
		fail(s, "begin");
}

/* A statement left in the middle of its rows would keep the old snapshot, and
 * with it the whole write-ahead log, for as long as nobody uses it again. */
static void
reset_used(struct store *st)
{
	for (size_t i = 0; i < st->used_count; i++) {
		(void)sqlite3_reset(st->used[i]->stmt);
		(void)sqlite3_clear_bindings(st->used[i]->stmt);
		st->used[i]->used = false;
	}
	st->used_count = 0;
}

int
store_commit(struct sim *s)
{
	reset_used(s->store);
	if (!s->store->failed && content_settle(s))
		store_fail(s, "blobs", strerror(errno));
	if (!s->store->failed &&
	    (s->store->commit
		    ? !once(s->store->commit)
		    : sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL)))
		fail(s, "commit");
	s->store->undone += s->store->failed;
	/* A full disk has already rolled back by itself. */
	if (s->store->failed && !sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	content_turned(s, s->store->failed);
	s->store->open = false;
	return s->store->failed ? -1 : 0;
}

bool
store_failed(const struct sim *s)
{
	return s->store->failed;
}

/* Both numbers only grow: what is rolled back was counted as a change. */
uint64_t
store_version(const struct sim *s)
{
	return s->store->undone << 32 ^
	       (uint64_t)sqlite3_total_changes64(s->db);
}

const char *
store_reason(const struct sim *s)
{
	return s->store->reason;
}

/* The address of a literal is its name: no text is compared. */
sqlite3_stmt *
sim_sql(struct sim *s, const char *text)
{
	size_t i = ((uintptr_t)text * 0x9e3779b97f4a7c15u) >> 54;
	struct slot *slot;

	while (s->store->slot[i].text && s->store->slot[i].text != text)
		i = (i + 1) % SLOTS;
	slot = &s->store->slot[i];
	if (!slot->text) {
		if (sqlite3_prepare_v3(s->db, text, -1,
			SQLITE_PREPARE_PERSISTENT, &slot->stmt,
			NULL) != SQLITE_OK)
			bug("%s: %s", sqlite3_errmsg(s->db), text);
		slot->text = text;
	}
	if (slot->used) {
		(void)sqlite3_reset(slot->stmt);
		(void)sqlite3_clear_bindings(slot->stmt);
	} else {
		slot->used = true;
		s->store->used[s->store->used_count++] = slot;
	}
	return slot->stmt;
}

/* After a failure nothing is carried out any more in this turn: a disk that
 * was full for one statement must not be found free by the next. */
int
sim_step(struct sim *s, sqlite3_stmt *stmt)
{
	int code;

	if (s->store->failed)
		return SQLITE_DONE;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW || code == SQLITE_DONE)
		return code;
	if ((code & 0xff) == SQLITE_CONSTRAINT)
		return SQLITE_CONSTRAINT;
	fail(s, "state");
	return SQLITE_DONE;
}

static void
exec(struct sim *s, const char *sql)
{
	if (!s->store->failed &&
	    sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(s, sql);
}

void
sim_savepoint(struct sim *s)
{
	exec(s, "SAVEPOINT half");
}

void
sim_release(struct sim *s)
{
	exec(s, "RELEASE half");
}

void
sim_rollback(struct sim *s)
{
	s->store->undone++;
	exec(s, "ROLLBACK TO half");
	exec(s, "RELEASE half");
}

struct span
sim_column(sqlite3_stmt *stmt, int column)
{
	const char *at = sqlite3_column_blob(stmt, column);

	return (struct span){ at ? at : "",
		(size_t)sqlite3_column_bytes(stmt, column) };
}

void
sim_bind(sqlite3_stmt *stmt, int index, const char *text)
{
	if (text)
		(void)sqlite3_bind_text(
		    stmt, index, text, -1, SQLITE_TRANSIENT);
	else
		(void)sqlite3_bind_null(stmt, index);
}

char *
sim_text(sqlite3_stmt *stmt, int column)
{
	return sqlite3_column_type(stmt, column) == SQLITE_NULL
		   ? NULL
		   : span_dup(sim_column(stmt, column));
}

void
sim_bind_span(sqlite3_stmt *stmt, int index, struct span s)
{
	(void)sqlite3_bind_text(
	    stmt, index, s.at, (int)s.len, SQLITE_TRANSIENT);
}

void
sim_of_hub(
    struct sim *s, const char *const *texts, size_t count, const char *hub)
{
	for (size_t i = 0; i < count; i++) {
		sqlite3_stmt *q = sim_sql(s, texts[i]);

		sim_bind(q, 1, hub);
		(void)sim_step(s, q);
	}
}
