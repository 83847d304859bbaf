"""The newest schema in SQLite's words, so that making a new store needs no SQLAlchemy.

Written by ``python -m socbot.storage.migrations``; a test compares it with the revisions.
"""

REVISION = "0007"

SCHEMA = """
CREATE TABLE audit (
	id INTEGER NOT NULL,
	at DOUBLE NOT NULL,
	who TEXT NOT NULL,
	action TEXT NOT NULL,
	what TEXT NOT NULL,
	result TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	previous TEXT NOT NULL,
	hash TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE backup_drills (
	id INTEGER NOT NULL,
	name TEXT NOT NULL,
	at DOUBLE NOT NULL,
	seconds DOUBLE NOT NULL,
	passed INTEGER NOT NULL,
	steps TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE backups (
	name TEXT NOT NULL,
	type TEXT NOT NULL,
	made_at DOUBLE NOT NULL,
	verified_at DOUBLE,
	proven_at DOUBLE,
	problem TEXT NOT NULL,
	PRIMARY KEY (name)
);

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

CREATE TABLE deliveries (
	id INTEGER NOT NULL,
	webhook TEXT NOT NULL,
	event_id TEXT NOT NULL,
	event TEXT NOT NULL,
	state TEXT NOT NULL,
	at DOUBLE NOT NULL,
	next_at DOUBLE NOT NULL,
	attempts BIGINT DEFAULT '0' NOT NULL,
	last_at DOUBLE,
	last_status BIGINT DEFAULT '0' NOT NULL,
	last_answer TEXT NOT NULL,
	message_id TEXT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX deliveries_due ON deliveries (state, webhook, id);

CREATE INDEX deliveries_event ON deliveries (event_id);

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

CREATE TABLE health_episodes (
	id INTEGER NOT NULL,
	check_name TEXT NOT NULL,
	status TEXT NOT NULL,
	started_at DOUBLE NOT NULL,
	ended_at DOUBLE,
	text TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX health_episodes_started_at ON health_episodes (started_at);

CREATE TABLE health_rounds (
	id INTEGER NOT NULL,
	at DOUBLE NOT NULL,
	status TEXT NOT NULL,
	checks TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX health_rounds_at ON health_rounds (at);

CREATE TABLE heartbeats (
	name TEXT NOT NULL,
	at DOUBLE NOT NULL,
	PRIMARY KEY (name)
);

CREATE TABLE imported (
	record TEXT NOT NULL,
	at DOUBLE NOT NULL,
	PRIMARY KEY (record)
);

CREATE TABLE incidents (
	incident_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	guild TEXT NOT NULL,
	title TEXT NOT NULL,
	severity TEXT NOT NULL,
	state TEXT NOT NULL,
	opened_by TEXT NOT NULL,
	opened_at DOUBLE NOT NULL,
	closed_by TEXT,
	closed_at DOUBLE,
	details TEXT NOT NULL,
	PRIMARY KEY (incident_id)
);

CREATE INDEX incidents_opened_at ON incidents (opened_at);

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

CREATE TABLE leases (
	name TEXT NOT NULL,
	holder TEXT NOT NULL,
	fence BIGINT NOT NULL,
	until DOUBLE NOT NULL,
	PRIMARY KEY (name)
);

CREATE TABLE log_templates (
	template TEXT NOT NULL,
	first_at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (template)
);

CREATE TABLE profile (
	span INTEGER NOT NULL,
	hour BIGINT NOT NULL,
	command TEXT NOT NULL,
	part TEXT NOT NULL,
	status TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	total DOUBLE NOT NULL,
	least DOUBLE NOT NULL,
	most DOUBLE NOT NULL,
	sketch BLOB NOT NULL,
	PRIMARY KEY (span, hour, command, part, status)
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

CREATE TABLE rate_limit_shared (
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	scope TEXT NOT NULL,
	spent_until DOUBLE NOT NULL,
	PRIMARY KEY (platform, subject, scope)
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

CREATE INDEX rate_limit_violations_until ON rate_limit_violations (until);

CREATE TABLE rollups (
	name TEXT NOT NULL,
	upto BIGINT NOT NULL,
	PRIMARY KEY (name)
);

CREATE TABLE settings (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	set_by TEXT NOT NULL,
	set_at DOUBLE NOT NULL,
	PRIMARY KEY ("key")
);

CREATE TABLE signals (
	signal_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	severity TEXT NOT NULL,
	title TEXT NOT NULL,
	text TEXT NOT NULL,
	fields TEXT NOT NULL,
	source TEXT NOT NULL,
	"key" TEXT NOT NULL,
	subject TEXT NOT NULL,
	at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (signal_id)
);

CREATE INDEX signals_at ON signals (at);

CREATE INDEX signals_key ON signals ("key", last_at);

CREATE INDEX signals_last_at ON signals (last_at);

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

CREATE TABLE timeline (
	id INTEGER NOT NULL,
	incident_id TEXT NOT NULL,
	at DOUBLE NOT NULL,
	done_by TEXT NOT NULL,
	action TEXT NOT NULL,
	text TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX timeline_incident ON timeline (incident_id);

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

CREATE INDEX usage_guild ON usage (platform, guild, hour);

CREATE INDEX usage_subject ON usage (platform, subject);

CREATE TABLE usage_counts (
	span INTEGER NOT NULL,
	command TEXT NOT NULL,
	hour BIGINT NOT NULL,
	ok BIGINT DEFAULT '0' NOT NULL,
	failed BIGINT DEFAULT '0' NOT NULL,
	refused BIGINT DEFAULT '0' NOT NULL,
	invalid BIGINT DEFAULT '0' NOT NULL,
	unknown BIGINT DEFAULT '0' NOT NULL,
	seconds DOUBLE NOT NULL,
	first_at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (span, command, hour)
)
 WITHOUT ROWID;

CREATE TABLE usage_guilds (
	platform TEXT NOT NULL,
	guild TEXT NOT NULL,
	command TEXT NOT NULL,
	ok BIGINT DEFAULT '0' NOT NULL,
	failed BIGINT DEFAULT '0' NOT NULL,
	refused BIGINT DEFAULT '0' NOT NULL,
	invalid BIGINT DEFAULT '0' NOT NULL,
	unknown BIGINT DEFAULT '0' NOT NULL,
	seconds DOUBLE NOT NULL,
	first_at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (platform, guild, command)
)
 WITHOUT ROWID;

CREATE TABLE usage_months (
	month BIGINT NOT NULL,
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	guild TEXT NOT NULL,
	command TEXT NOT NULL,
	ok BIGINT DEFAULT '0' NOT NULL,
	failed BIGINT DEFAULT '0' NOT NULL,
	refused BIGINT DEFAULT '0' NOT NULL,
	invalid BIGINT DEFAULT '0' NOT NULL,
	unknown BIGINT DEFAULT '0' NOT NULL,
	seconds DOUBLE NOT NULL,
	first_at DOUBLE NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (month, platform, subject, guild, command)
)
 WITHOUT ROWID;

CREATE TABLE usage_people (
	kind TEXT NOT NULL,
	scope TEXT NOT NULL,
	platform TEXT NOT NULL,
	subject TEXT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	last_at DOUBLE NOT NULL,
	PRIMARY KEY (kind, scope, platform, subject)
)
 WITHOUT ROWID;

CREATE TABLE web_sessions (
	digest TEXT NOT NULL,
	token TEXT NOT NULL,
	role TEXT NOT NULL,
	csrf TEXT NOT NULL,
	began_at DOUBLE NOT NULL,
	expires_at DOUBLE NOT NULL,
	PRIMARY KEY (digest)
);

CREATE TABLE web_tokens (
	name TEXT NOT NULL,
	role TEXT NOT NULL,
	digest TEXT NOT NULL,
	made_by TEXT NOT NULL,
	made_at DOUBLE NOT NULL,
	used_at DOUBLE,
	PRIMARY KEY (name)
);

CREATE TABLE webhooks (
	name TEXT NOT NULL,
	type TEXT NOT NULL,
	address TEXT NOT NULL,
	masked TEXT NOT NULL,
	triggers TEXT NOT NULL,
	severity TEXT NOT NULL,
	enabled INTEGER DEFAULT '1' NOT NULL,
	secrets TEXT NOT NULL,
	rate DOUBLE DEFAULT '0' NOT NULL,
	created_by TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	state TEXT NOT NULL,
	state_reason TEXT NOT NULL,
	failing_since DOUBLE,
	sent BIGINT DEFAULT '0' NOT NULL,
	failed BIGINT DEFAULT '0' NOT NULL,
	dropped BIGINT DEFAULT '0' NOT NULL,
	last_at DOUBLE,
	last_answer TEXT NOT NULL,
	PRIMARY KEY (name)
);
"""
