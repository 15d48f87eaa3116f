/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What daemon.c and the files beside it share.
 */
#ifndef MUSTER_COMMON_SYS_DAEMON_PRIVATE_H
#define MUSTER_COMMON_SYS_DAEMON_PRIVATE_H

#include "common/sys/control.h"
#include "common/sys/daemon.h"

struct daemon_private {
	struct conf_source sources[DAEMON_SOURCES_MAX];
	size_t sources_count;
	const char *run_dir;
	struct control_server *control;
	struct loop_signal on_term, on_interrupt, on_hangup;
	struct loop_timer second, watchdog, drain_limit;
	struct mono started;
	struct wall started_at;
	char **socket_names; /* of descriptors 3, 4 ...; NULL-terminated */
	bool *sockets_taken; /* asked for */
	int sockets_count;
	uint64_t watchdog_usec;
	bool ready, given_up;
	bool files_confined, calls_confined;
};

/* Reads the configuration again. NULL, or the reason it was refused (then nothing changed);
 * borrowed until the next call. */
const char *daemon_reload(struct daemon *d);
int daemon_control_open(struct daemon *d);
bool daemon_has_agent(void); /* muster agent supervises us */
/* daemon_socket.c */
void daemon_sockets_take(struct daemon *d);
void daemon_sockets_settle(struct daemon *d); /* lets go of what nobody wants (any more) */
void daemon_sockets_free(struct daemon *d);
/* daemon_jail.c, in this order around the open hook. */
void daemon_confine_files(struct daemon *d);
void daemon_confine_calls(struct daemon *d);

#endif
