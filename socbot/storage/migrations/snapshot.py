"""The newest schema in SQLite's words, so that making a new store needs no SQLAlchemy.

Written by ``python -m socbot.storage.migrations``; a test compares it with the revisions.
"""

REVISION = "0002"

SCHEMA = """
CREATE TABLE blacklist (
	platform TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	reason TEXT NOT NULL,
	added_by TEXT NOT NULL,
	added_at DOUBLE NOT NULL,
	expires_at DOUBLE,
	source TEXT NOT NULL,
	PRIMARY KEY (platform, kind, subject)
);

CREATE TABLE blacklist_attempts (
	platform TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (platform, kind, subject)
);

CREATE TABLE blacklist_history (
	id INTEGER NOT NULL,
	platform TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	action TEXT NOT NULL,
	done_by TEXT NOT NULL,
	at DOUBLE NOT NULL,
	reason TEXT NOT NULL,
	expires_at DOUBLE,
	source TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX blacklist_history_subject ON blacklist_history (platform, kind, subject);

CREATE TABLE command_syncs (
	scope TEXT NOT NULL,
	digest TEXT NOT NULL,
	at DOUBLE NOT NULL,
	puts BIGINT DEFAULT '0' NOT NULL,
	puts_since DOUBLE NOT NULL,
	PRIMARY KEY (scope)
);

CREATE TABLE error_groups (
	group_id TEXT NOT NULL,
	type TEXT NOT NULL,
	severity TEXT NOT NULL,
	command TEXT NOT NULL,
	template TEXT NOT NULL,
	first_at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	state TEXT NOT NULL,
	muted_until DOUBLE,
	changed_by TEXT,
	changed_at DOUBLE,
	PRIMARY KEY (group_id)
);

CREATE TABLE error_hours (
	hour BIGINT NOT NULL,
	group_id TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (hour, group_id)
);

CREATE TABLE errors (
	error_id TEXT NOT NULL,
	group_id TEXT NOT NULL,
	at DOUBLE NOT NULL,
	severity TEXT NOT NULL,
	type TEXT NOT NULL,
	message TEXT NOT NULL,
	command TEXT NOT NULL,
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	guild TEXT NOT NULL,
	channel TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	traceback TEXT NOT NULL,
	PRIMARY KEY (error_id)
);

CREATE INDEX errors_at ON errors (at);

CREATE INDEX errors_group ON errors (group_id);

CREATE TABLE gateway_logins (
	id INTEGER NOT NULL,
	shard INTEGER NOT NULL,
	shards INTEGER NOT NULL,
	at DOUBLE NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX gateway_logins_at ON gateway_logins (at);

CREATE TABLE job_runs (
	id INTEGER NOT NULL,
	job TEXT NOT NULL,
	started_at DOUBLE NOT NULL,
	seconds DOUBLE NOT NULL,
	outcome TEXT NOT NULL,
	error TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX job_runs_job ON job_runs (job, started_at);

CREATE TABLE jobs (
	name TEXT NOT NULL,
	stopped INTEGER DEFAULT '0' NOT NULL,
	schedule TEXT,
	settled DOUBLE,
	last_run DOUBLE,
	last_success DOUBLE,
	runs BIGINT DEFAULT '0' NOT NULL,
	failures BIGINT DEFAULT '0' NOT NULL,
	restarts BIGINT DEFAULT '0' NOT NULL,
	last_error TEXT NOT NULL,
	PRIMARY KEY (name)
);

CREATE TABLE profile (
	hour BIGINT NOT NULL,
	command TEXT NOT NULL,
	part TEXT NOT NULL,
	status TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	total DOUBLE NOT NULL,
	least DOUBLE NOT NULL,
	most DOUBLE NOT NULL,
	sketch BLOB NOT NULL,
	PRIMARY KEY (hour, command, part, status)
);

CREATE TABLE rate_limit_cooldowns (
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	command TEXT NOT NULL,
	until DOUBLE NOT NULL,
	PRIMARY KEY (platform, subject, command)
);

CREATE TABLE rate_limit_exemptions (
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	until DOUBLE,
	given_by TEXT NOT NULL,
	given_at DOUBLE NOT NULL,
	PRIMARY KEY (platform, subject)
);

CREATE TABLE rate_limit_refusals (
	command TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (command)
);

CREATE TABLE rate_limit_state (
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	spent_until DOUBLE NOT NULL,
	cooldown_until DOUBLE NOT NULL,
	silent_until DOUBLE NOT NULL,
	refusals BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (platform, subject)
);

CREATE TABLE rate_limit_violations (
	id INTEGER NOT NULL,
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	at DOUBLE NOT NULL,
	command TEXT NOT NULL,
	action TEXT NOT NULL,
	until DOUBLE,
	cleared_at DOUBLE,
	enforced TEXT DEFAULT '' NOT NULL,
	guild TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX rate_limit_violations_subject ON rate_limit_violations (platform, subject);

CREATE TABLE settings (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	set_by TEXT NOT NULL,
	set_at DOUBLE NOT NULL,
	PRIMARY KEY ("key")
);

CREATE TABLE slow_runs (
	id INTEGER NOT NULL,
	at DOUBLE NOT NULL,
	command TEXT NOT NULL,
	seconds DOUBLE NOT NULL,
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	guild TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX slow_runs_at ON slow_runs (at);

CREATE TABLE traces (
	id INTEGER NOT NULL,
	at DOUBLE NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	ids TEXT NOT NULL,
	packed BLOB NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX traces_at ON traces (at);

CREATE TABLE usage (
	hour BIGINT NOT NULL,
	platform TEXT NOT NULL,
	guild TEXT NOT NULL,
	subject TEXT NOT NULL,
	command TEXT NOT NULL,
	status TEXT NOT NULL,
	refused_by TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	seconds DOUBLE NOT NULL,
	first_at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (hour, platform, guild, subject, command, status, refused_by)
);

CREATE INDEX usage_command ON usage (command, hour);

CREATE INDEX usage_subject ON usage (platform, subject);
"""
