/* hub-sim: a local Azure, as far as hubpipe talks to it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "doc.h"
#include "hub-sim/arm.h"
#include "hub-sim/blob.h"
#include "hub-sim/ca.h"
#include "hub-sim/child.h"
#include "hub-sim/failover.h"
#include "hub-sim/fault.h"
#include "hub-sim/folder.h"
#include "hub-sim/jobs.h"
#include "hub-sim/net.h"
#include "hub-sim/sim.h"
#include "hub-sim/store.h"
#include "hub-sim/throttle.h"
#include "msg.h"
#include "opt.h"

static const char *listen_to = "127.0.0.1:0", *db_file, *from, *registry,
		  *group = "west-rg", *dest, *seed, *clock_text = "0",
		  *speed_text = "1", *log_file;
static struct opt_list doubt_list, fault_list;
static const char *throttle_text = "off", *timing_text = "fast", *sku;
static long operation_ms = -1, token_seconds = 3599, load, lose_seconds;
static bool list_doubts, sink, forecast;

static const struct opt opts[] = {
	OPT_TEXT(0, "from", "TEMPLATE", &from,
	    "deploy this template at the start, with what its endpoints need"),
	OPT_TEXT('g', "resource-group", "GROUP", &group,
	    "resource group of --from (default west-rg)"),
	OPT_TEXT(0, "registry", "FILE", &registry,
	    "load these registry lines into the hub of --from"),
	OPT_TEXT(0, "dest", "NAME", &dest,
	    "set DEST_IOTHUB_CONN_STRING for a hub of this name"),
	OPT_TEXT(0, "listen", "ADDR:PORT", &listen_to,
	    "serve there (default 127.0.0.1 and a free port)"),
	OPT_TEXT(0, "db", "FILE", &db_file, "keep the state in this file"),
	OPT_TEXT(0, "seed", "TEXT", &seed,
	    "ids, keys and chances follow from it (default hubpipe)"),
	OPT_LIST(0, "fault", "SPEC", &fault_list,
	    "let requests fail, such as path=/devices*,skip=2,do=status:429"),
	OPT_LIST(0, "doubt", "NAME=POSITION", &doubt_list,
	    "decide a fact about Azure that is not confirmed"),
	OPT_FLAG(0, "list-doubts", &list_doubts,
	    "print those facts, their positions and why, and end"),
	OPT_TEXT(0, "timing", "fast|real", &timing_text,
	    "how long operations, jobs and failovers take (default fast)"),
	OPT_NUMBER(0, "operation-ms", "N", &operation_ms,
	    "operations of Resource Manager run this long (default 20)"),
	OPT_TEXT(0, "sku", "SKU[:UNITS]", &sku,
	    "the size of the hub of --from, whatever the template says"),
	OPT_TEXT(0, "throttle", "off|real", &throttle_text,
	    "delay and refuse calls as a hub of that size does (default off)"),
	OPT_NUMBER(0, "load", "PCT", &load,
	    "with --throttle=real, others use so much of each limit"),
	OPT_FLAG(0, "forecast", &forecast,
	    "at the end, say how long Azure would take for what was asked"),
	OPT_NUMBER(0, "lose", "SECONDS", &lose_seconds,
	    "a failover loses this much of registry and twins (at most 300)"),
	OPT_FLAG(0, "sink", &sink,
	    "count bulk calls, keep nothing: to measure clients"),
	OPT_NUMBER(0, "token-seconds", "N", &token_seconds,
	    "life of an Entra token (default 3599)"),
	OPT_TEXT(0, "clock", "SECONDS", &clock_text,
	    "the simulated clock is ahead by these; may be negative"),
	OPT_TEXT(0, "speed", "X", &speed_text,
	    "simulated time passes X times as fast"),
	OPT_TEXT(0, "log", "FILE", &log_file,
	    "append one JSON line for each request"),
	OPT_END,
};
static const struct tool tool = {
	.name = "hub-sim",
	.synopsis = "[OPTION...] [-- COMMAND [ARGUMENT...]]",
	.summary = "Run a command, or serve, with a local Azure in place of "
		   "the real one",
	.example = "hub-sim --from contoso.json --registry contoso.txt -- \\\n"
		   "    sh -c 'registry-dump | wc -l'",
	.opts = opts,
	.statuses = "0234",
	.operands_max = -1,
};

static double
real_number(const char *option, const char *text, double low, double high)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end || !isfinite(x) || x < low || x > high)
		usage("--%s: '%s' is not a number from %g to %g", option, text,
		    low, high);
	return x;
}

/* false: the first word, true: the second. */
static bool
one_of(const char *option, const char *text, const char *no, const char *yes)
{
	if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
		usage("--%s: '%s' is neither %s nor %s", option, text, no, yes);
	return strcmp(text, yes) == 0;
}

static void
check_options(struct sim *s)
{
	struct timespec t;
	struct err e;

	if (registry && !from)
		usage("--registry needs --from, which makes the hub");
	if (sim_doubt_environment(&e))
		die_err(&e);
	for (size_t i = 0; i < doubt_list.count; i++)
		if (sim_doubt_set(doubt_list.value[i], &e))
			die_err(&e);
	(void)clock_gettime(CLOCK_REALTIME, &t);
	s->started_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	s->clock_offset =
	    (int64_t)(1000 * real_number("clock", clock_text, -1e9, 1e10));
	s->speed = real_number("speed", speed_text, 0.001, 1e6);
	s->throttled = one_of("throttle", throttle_text, "off", "real");
	s->real_times = one_of("timing", timing_text, "fast", "real");
	s->operation_ms = operation_ms < 0 ? 20 : operation_ms;
	s->operation_given = operation_ms >= 0;
	if (load < 0 || load > 100)
		usage("--load: %ld is not a percentage", load);
	s->load = load;
	if (sku && !from)
		usage("--sku needs --from, which makes the hub");
	if (sku && sku_option(s, sku, &e))
		die_err(&e);
	if (lose_seconds < 0 || lose_seconds > 300)
		usage("--lose: %ld is not from 0 to 300", lose_seconds);
	s->lose_ms = lose_seconds * 1000;
	s->sink = sink;
	s->token_seconds = token_seconds;
	s->seed = seed ? seed : "hubpipe";
}

/* A state remembers its seed: other keys than before would not fit it. */
static void
keep_seed(struct sim *s, bool fresh)
{
	char *kept = fresh ? NULL : store_note(s, "seed");

	if (kept && seed && strcmp(seed, kept) != 0)
		die(BAD_USAGE, db_file, "was made with another --seed");
	if (kept)
		s->seed = seed = kept; /* for as long as we live */
	else
		store_set_note(s, "seed", s->seed);
}

/* The hub of --from, by its first name in the list of the group. */
static void
note_hub(struct sim *s)
{
	struct sim_reply r = { 0 };
	char *path = xasprintf(
	    "/subscriptions/" SIM_SUBSCRIPTION "/resourceGroups/%s/providers/"
	    "Microsoft.Devices/IotHubs?api-version=2023-06-30",
	    group);
	jv list, name, host;

	sim_call(s, "GET", path, span_of(""), &r);
	list = jv_parse_sized(r.body.at ? r.body.at : "", (int)r.body.len);
	if (r.status != 200 || jv_get_kind(list) != JV_KIND_OBJECT)
		bug("the hubs of '%s' cannot be listed: %d", group, r.status);
	list = jv_array_get(jv_object_get(list, jv_string("value")), 0);
	if (jv_get_kind(list) != JV_KIND_OBJECT)
		die(BAD_DATA, from, "made no hub in group '%s'", group);
	name = jv_object_get(jv_copy(list), jv_string("name"));
	host = jv_object_get(jv_object_get(list, jv_string("properties")),
	    jv_string("hostName"));
	store_set_note(s, "hub", jv_string_value(name));
	store_set_note(s, "host", jv_string_value(host));
	jv_free(name);
	jv_free(host);
	free(path);
	sim_reply_free(&r);
}

static void
fill(struct sim *s)
{
	struct err e;
	char *hub;

	if (!from)
		return;
	if (deploy_seed(s, from, group, &e))
		die_err(&e);
	note_hub(s);
	hub = store_note(s, "hub");
	if (registry && registry_seed(s, hub, registry, &e))
		die_err(&e);
	free(hub);
}

static void
open_state(struct sim *s, const char *folder)
{
	struct err e;
	bool fresh;

	if (store_open(s, db_file, folder, &fresh, &e))
		die_err(&e);
	keep_seed(s, fresh);
	if (fresh)
		fill(s);
	else if (from)
		note("'%s' has its state already: --from and --registry are "
		     "not loaded again",
		    db_file);
	if (lose_watch(s, &e) || store_ready(s, &e))
		die_err(&e);
}

/* The connection string of the how-to; wiped, since COMMAND has its own. */
static void
set_hub(
    struct env *env, const char *variable, const char *host, const char *key)
{
	char *text = xasprintf("HostName=%s;SharedAccessKeyName=iothubowner;"
			       "SharedAccessKey=%s",
	    host, key);

	env_set(env, variable, text);
	free(text);
}

static void
set_source(struct sim *s, struct env *env)
{
	struct sim_policy policy;
	struct sim_hub hub;
	char *name = store_note(s, "hub"), *host = store_note(s, "host");

	if (name && host && sim_hub_find(s, name, &hub) &&
	    sim_hub_policy(s, &hub, "iothubowner", &policy))
		set_hub(env, "IOTHUB_CONN_STRING", host, policy.primary);
	free(name);
	free(host);
}

/* The keys of a hub that nobody has made yet follow from the seed. */
static void
set_dest(struct sim *s, struct env *env)
{
	struct sim_policy policy;
	struct sim_hub hub;
	struct buf key = BUF_INIT;
	char *host, *what;

	if (!dest)
		return;
	host = xasprintf("%s.azure-devices.net", dest);
	what = xasprintf("hub/%s/iothubowner/primary", dest);
	for (char *c = what; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (sim_hub_find(s, dest, &hub) &&
	    sim_hub_policy(s, &hub, "iothubowner", &policy))
		buf_text(&key, policy.primary);
	else
		sim_key(s, what, 32, &key);
	set_hub(env, "DEST_IOTHUB_CONN_STRING", host, key.at);
	buf_wipe(&key);
	free(host);
	free(what);
}

/* The first storage account, as a client's own portal would show it. */
static void
set_storage(struct sim *s, struct env *env)
{
	char *text = blob_connection_string(s);

	if (text)
		env_set(env, "STORAGE_ACCT_CONN_STRING", text);
	free(text);
}

static void
environment(struct sim *s, const struct net *n, struct env *env)
{
	char path[FOLDER_PATH], pid[16];

	env_begin(env);
	env_set(env, "HUBPIPE_CONNECT_TO", net_address(n));
	/* What does not throttle is not to be spared. */
	if (!s->throttled)
		env_set(env, "HUBPIPE_PACE", "off");
	s->port = atoi(strrchr(net_address(n), ':') + 1);
	(void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
	env_set(env, "HUB_SIM_PID", pid);
	(void)snprintf(path, sizeof path, "http://%s/hub-sim", net_address(n));
	env_set(env, "HUB_SIM_CONTROL", path);
	(void)folder_file("ca.pem", path);
	env_set(env, "SSL_CERT_FILE", path);
	env_set(env, "CURL_CA_BUNDLE", path);
	env_set(env, "NODE_EXTRA_CA_CERTS", path);
	env_set(env, "REQUESTS_CA_BUNDLE", path);
	env_set(env, "AZURE_CONFIG_DIR", folder_file("az", path));
	env_set(env, "AZURE_TENANT_ID", SIM_TENANT);
	env_set(env, "AZURE_CLIENT_ID", SIM_CLIENT);
	env_set(env, "AZURE_CLIENT_SECRET", SIM_SECRET);
	env_set(env, "AZURE_SUBSCRIPTION_ID", SIM_SUBSCRIPTION);
	store_begin(s);
	set_source(s, env);
	set_dest(s, env);
	set_storage(s, env);
	(void)store_commit(s);
}

static struct net *
start(struct sim *s)
{
	char path[FOLDER_PATH];
	struct net *n;
	SSL_CTX *tls;
	struct err e;

	for (size_t i = 0; i < fault_list.count; i++)
		if (fault_add(s->faults, s, fault_list.value[i], &e) < 0)
			die_err(&e);
	(void)folder_file("ca.pem", path);
	tls = ca_context(path, &e);
	if (!tls)
		die_err(&e);
	n = net_listen(listen_to, tls, &e);
	if (!n)
		die_err(&e);
	return n;
}

static FILE *
open_log(void)
{
	int fd;

	if (!log_file)
		return NULL;
	fd = open(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1)
		die(LOCAL_FAILURE, log_file, "cannot be opened: %s",
		    strerror(errno));
	return fdopen(fd, "a");
}

static void
say_ready(const struct env *env)
{
	env_print(env);
	(void)puts("# ready");
	if (fflush(stdout))
		die(LOCAL_FAILURE, "stdout", "write failed: %s",
		    strerror(errno));
}

/* Serves for as long as COMMAND runs, or until a signal. */
static int
serve(struct sim *s, struct net *n, char *command[])
{
	struct child child = { 0 };
	struct env env;
	FILE *log = open_log();
	struct err e;
	int bad = 0;

	environment(s, n, &env);
	forecast_begin(s);
	if (child_signals(&child, &e))
		die_err(&e);
	if (*command)
		bad = child_start(&child, command, env.list);
	else
		say_ready(&env);
	env_free(&env);
	if (!bad)
		net_run(n, s, log, child.signals, child_on_signals, &child);
	if (log)
		(void)fclose(log);
	net_close(n);
	if (!bad && (forecast || sku || s->throttled))
		forecast_say(s);
	throttle_free(s);
	(void)fault_remove(s->faults, 0);
	jobs_close(s);
	store_close(s);
	folder_remove();
	return bad ? bad : child_end(&child);
}

int
main(int argc, char *argv[])
{
	struct faults faults = { 0 };
	struct sim sim = { .faults = &faults };
	struct net *net;
	int first = tool_start(&tool, argc, argv);

	if (list_doubts) {
		sim_doubt_list();
		if (fflush(stdout))
			die(LOCAL_FAILURE, "stdout", "write failed: %s",
			    strerror(errno));
		return DONE;
	}
	check_options(&sim);
	jv_free(arm_regions()); /* missing, that is said now */
	open_state(&sim, folder_make());
	net = start(&sim);
	return serve(&sim, net, argv + first);
}
