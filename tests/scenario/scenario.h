/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenario files: script in, full trace out. Lines that begin with a tab are the trace of the
 * command line above them; comments (#) and empty lines stay as they are. A driver calls
 * scenario_main with a function that runs one command and appends its trace, one line each, without
 * tabs. `driver --rewrite FILE...` writes the new trace into the files: review the diff.
 */
#ifndef MUSTER_TESTS_SCENARIO_SCENARIO_H
#define MUSTER_TESTS_SCENARIO_SCENARIO_H

#include "common/base/buf.h"

struct scenario_driver {
	void *(*begin)(void);
	void (*run)(void *state, struct str command, struct buf *trace);
	void (*end)(void *state);
};

int scenario_main(const struct scenario_driver *driver, int argc, char **argv);

/* The value of name=value among the words of a command; STR_NONE when absent. */
struct str scenario_word(struct str command, const char *name);
uint64_t scenario_number(
	struct str command, const char *name); /* 0 when absent; must be a number */
struct str scenario_verb(struct str command);

#endif
