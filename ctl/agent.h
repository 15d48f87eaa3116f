/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `muster agent`: runs the daemons of a node where there is no systemd. It holds the listening
 * sockets, passes them on as systemd would, restarts what dies, and does nothing else.
 *
 *     agent.c           from flags to a running node, and its end
 *     agent_banner.c    what is printed first
 *     agent_flags.c     flags -> configuration text
 *     agent_sockets.c   what is listened on
 *     agent_log.c       the daemons' lines to stdout and log_file
 *     supervisor.c      the six processes
 */
#ifndef MUSTER_CTL_AGENT_H
#define MUSTER_CTL_AGENT_H

#include "common/sys/conf.h"
#include "common/sys/daemon.h"
#include "common/sys/loop.h"
#include "ctl/ctl.h"

/* ---- flags ---- */

enum { AGENT_VALUES_MAX = 80 };

struct agent_flags {
	struct flag_list files;	    /* -config-file, -config-dir in order */
	struct flag_list fragments; /* -hcl */
	bool dev;
	const char *data_dir, *config_format;
	union agent_value {
		bool boolean;
		const char *text;
		int64_t number;
	} values[AGENT_VALUES_MAX]; /* by row of the table */
	struct flag_list *lists[AGENT_VALUES_MAX];
};

/* Adds the flags of the table to the set. */
void agent_flags_add(struct agent_flags *a, struct flagset *f);
void agent_flags_fini(struct agent_flags *a);
/* The flags as configuration: what stands before the files (lists, -dev) and what stands behind
 * them (all others). */
void agent_flags_render(
	const struct agent_flags *a, const struct flagset *f, struct buf *head, struct buf *tail);

/* ---- sockets ---- */

enum { AGENT_SOCKETS_MAX = 32 };

struct agent_socket {
	char name[16]; /* http https http-peer dns raft gossip-... */
	int fd;
};

struct agent_sockets {
	struct agent_socket rows[AGENT_SOCKETS_MAX];
	size_t count;
};

/* Opens all that the configuration asks for. ST_INVALID with "listen tcp 127.0.0.1:8500: bind:
 * address already in use" in *why. */
int agent_sockets_open(const struct conf *c, struct agent_sockets *out, struct buf *why);
void agent_sockets_close(struct agent_sockets *s);

/* ---- banner ---- */

void agent_banner_print(const struct conf *c, const char *title);

/* ---- log ---- */

struct agent_log;
/* From now on what is written to our stderr, and to the descriptor that is returned, goes to stdout
 * (indented) and to log_file. */
int agent_log_open(struct loop *loop, const struct conf *c, struct agent_log **out);
void agent_log_close(struct agent_log *log); /* writes what is still in the pipe */
/* A line of the agent itself, to stdout only. */
__attribute__((format(printf, 2, 3))) void agent_log_say(
	struct agent_log *log, const char *format, ...);
int agent_log_fd(const struct agent_log *log);

/* ---- supervisor ---- */

struct supervisor;

struct supervisor_setup {
	struct loop *loop;
	const struct agent_sockets *sockets;
	const char *daemon_dir;	    /* installed; those beside us in a build tree win */
	const char *run_dir;	    /* absolute */
	const char *const *sources; /* "-config-file", path ... NULL */
	int log_fd;
	bool server;			/* raftd and catalogd run on servers only */
	void (*on_ready)(void *arg);	/* all have reported READY=1, once */
	void (*on_stopped)(void *arg);	/* all have ended, after supervisor_stop */
	void (*on_given_up)(void *arg); /* a daemon says that the node is to end */
	void *arg;
};

int supervisor_new(const struct supervisor_setup *setup,
	struct supervisor **out); /* ST_NOT_FOUND: a program is missing */
void supervisor_free(struct supervisor *s);
void supervisor_start(struct supervisor *s);
void supervisor_stop(struct supervisor *s, bool hard); /* in order; hard: kill all at once */
void supervisor_signal(struct supervisor *s, int signal);
void supervisor_render(const struct supervisor *s, struct jsonw *w); /* "daemons":[...] */

#endif
