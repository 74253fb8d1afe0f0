/*
 * targets.h: the tables of targets.c, made with those of identity.c.
 *
 * A number is never used again, so what is left of a configuration that was
 * deleted can be swept away at leisure.
 */
#ifndef TARGETS_H
#define TARGETS_H

#define TARGETS_SCHEMA                                                         \
	"CREATE TABLE IF NOT EXISTS target_number ("                           \
	" number INTEGER PRIMARY KEY AUTOINCREMENT, hub TEXT NOT NULL,"        \
	" id TEXT NOT NULL, system TEXT, custom TEXT, UNIQUE (hub, id));"      \
	"CREATE TABLE IF NOT EXISTS target_gone (number INTEGER PRIMARY KEY);" \
	"CREATE TABLE IF NOT EXISTS target (number INTEGER NOT NULL,"          \
	" seq INTEGER NOT NULL, applied INTEGER NOT NULL,"                     \
	" PRIMARY KEY (number, seq)) WITHOUT ROWID;"                           \
	"CREATE INDEX IF NOT EXISTS target_seq ON target (seq);"               \
	"CREATE TABLE IF NOT EXISTS target_due (at INTEGER NOT NULL,"          \
	" seq INTEGER NOT NULL, hub TEXT NOT NULL, PRIMARY KEY (at, seq))"     \
	" WITHOUT ROWID;"                                                      \
	"CREATE TABLE IF NOT EXISTS target_scan (hub TEXT NOT NULL,"           \
	" what INTEGER NOT NULL, at INTEGER NOT NULL, id TEXT NOT NULL,"       \
	" module TEXT NOT NULL, PRIMARY KEY (hub, what));"                     \
	"CREATE TABLE IF NOT EXISTS target_tally (number INTEGER NOT NULL,"    \
	" system INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT "     \
	"NULL,"                                                                \
	" PRIMARY KEY (number, system, name)) WITHOUT ROWID"

#endif
