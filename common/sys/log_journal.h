/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines to systemd's journal with fields of their own, where stderr is the journal's: MESSAGE
 * (event and pairs, as everywhere), PRIORITY, SYSLOG_IDENTIFIER (muster-<daemon>), MUSTER_DAEMON,
 * MUSTER_EVENT, and each pair key=value as MUSTER_KEY, e.g. MUSTER_REASON. Private to log.c.
 */
#ifndef MUSTER_COMMON_SYS_LOG_JOURNAL_H
#define MUSTER_COMMON_SYS_LOG_JOURNAL_H

#include "common/base/str.h"

/* Whether stderr leads to the journal. */
bool log_journal_here(void);
/* text: "event key=value key=\"two words\" ...". false: the journal did not take it. */
bool log_journal_put(int priority, const char *daemon, struct str text);
/* The next pair behind *rest, which moves on; false: no more. Words that are no pair are passed
 * over. */
bool log_pair_next(struct str *rest, struct str *key_out, struct str *value_out);

#endif
