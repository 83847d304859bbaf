BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
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
INSERT INTO "audit" VALUES(0,0.25,'audit ''é'' "who"; 0','audit ''é'' "action"; 0','audit ''é'' "what"; 0','audit ''é'' "result"; 0','audit ''é'' "trace_id"; 0','audit ''é'' "previous"; 0','audit ''é'' "hash"; 0');
INSERT INTO "audit" VALUES(1,1.25,'audit ''é'' "who"; 1','audit ''é'' "action"; 1','audit ''é'' "what"; 1','audit ''é'' "result"; 1','audit ''é'' "trace_id"; 1','audit ''é'' "previous"; 1','audit ''é'' "hash"; 1');
INSERT INTO "audit" VALUES(2,2.25,'audit ''é'' "who"; 2','audit ''é'' "action"; 2','audit ''é'' "what"; 2','audit ''é'' "result"; 2','audit ''é'' "trace_id"; 2','audit ''é'' "previous"; 2','audit ''é'' "hash"; 2');
CREATE TABLE backup_drills (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	passed INTEGER NOT NULL, 
	steps TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "backup_drills" VALUES(0,'backup_drills ''é'' "name"; 0',0.25,0.25,0,'backup_drills ''é'' "steps"; 0');
INSERT INTO "backup_drills" VALUES(1,'backup_drills ''é'' "name"; 1',1.25,1.25,1,'backup_drills ''é'' "steps"; 1');
INSERT INTO "backup_drills" VALUES(2,'backup_drills ''é'' "name"; 2',2.25,2.25,2,'backup_drills ''é'' "steps"; 2');
CREATE TABLE backups (
	name TEXT NOT NULL, 
	type TEXT NOT NULL, 
	made_at DOUBLE NOT NULL, 
	verified_at DOUBLE, 
	proven_at DOUBLE, 
	problem TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "backups" VALUES('backups ''é'' "name"; 0','backups ''é'' "type"; 0',0.25,0.25,0.25,'backups ''é'' "problem"; 0');
INSERT INTO "backups" VALUES('backups ''é'' "name"; 1','backups ''é'' "type"; 1',1.25,1.25,1.25,'backups ''é'' "problem"; 1');
INSERT INTO "backups" VALUES('backups ''é'' "name"; 2','backups ''é'' "type"; 2',2.25,2.25,2.25,'backups ''é'' "problem"; 2');
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
INSERT INTO "blacklist" VALUES('blacklist ''é'' "platform"; 0','blacklist ''é'' "kind"; 0','blacklist ''é'' "subject"; 0','blacklist ''é'' "reason"; 0','blacklist ''é'' "added_by"; 0',0.25,0.25,'blacklist ''é'' "source"; 0');
INSERT INTO "blacklist" VALUES('blacklist ''é'' "platform"; 1','blacklist ''é'' "kind"; 1','blacklist ''é'' "subject"; 1','blacklist ''é'' "reason"; 1','blacklist ''é'' "added_by"; 1',1.25,1.25,'blacklist ''é'' "source"; 1');
INSERT INTO "blacklist" VALUES('blacklist ''é'' "platform"; 2','blacklist ''é'' "kind"; 2','blacklist ''é'' "subject"; 2','blacklist ''é'' "reason"; 2','blacklist ''é'' "added_by"; 2',2.25,2.25,'blacklist ''é'' "source"; 2');
CREATE TABLE blacklist_attempts (
	platform TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	count BIGINT DEFAULT '0' NOT NULL, 
	last_at DOUBLE NOT NULL, 
	PRIMARY KEY (platform, kind, subject)
);
INSERT INTO "blacklist_attempts" VALUES('blacklist_attempts ''é'' "platform"; 0','blacklist_attempts ''é'' "kind"; 0','blacklist_attempts ''é'' "subject"; 0',0,0.25);
INSERT INTO "blacklist_attempts" VALUES('blacklist_attempts ''é'' "platform"; 1','blacklist_attempts ''é'' "kind"; 1','blacklist_attempts ''é'' "subject"; 1',1,1.25);
INSERT INTO "blacklist_attempts" VALUES('blacklist_attempts ''é'' "platform"; 2','blacklist_attempts ''é'' "kind"; 2','blacklist_attempts ''é'' "subject"; 2',2,2.25);
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
INSERT INTO "blacklist_history" VALUES(0,'blacklist_history ''é'' "platform"; 0','blacklist_history ''é'' "kind"; 0','blacklist_history ''é'' "subject"; 0','blacklist_history ''é'' "action"; 0','blacklist_history ''é'' "done_by"; 0',0.25,'blacklist_history ''é'' "reason"; 0',0.25,'blacklist_history ''é'' "source"; 0');
INSERT INTO "blacklist_history" VALUES(1,'blacklist_history ''é'' "platform"; 1','blacklist_history ''é'' "kind"; 1','blacklist_history ''é'' "subject"; 1','blacklist_history ''é'' "action"; 1','blacklist_history ''é'' "done_by"; 1',1.25,'blacklist_history ''é'' "reason"; 1',1.25,'blacklist_history ''é'' "source"; 1');
INSERT INTO "blacklist_history" VALUES(2,'blacklist_history ''é'' "platform"; 2','blacklist_history ''é'' "kind"; 2','blacklist_history ''é'' "subject"; 2','blacklist_history ''é'' "action"; 2','blacklist_history ''é'' "done_by"; 2',2.25,'blacklist_history ''é'' "reason"; 2',2.25,'blacklist_history ''é'' "source"; 2');
CREATE TABLE command_syncs (
	scope TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	puts BIGINT DEFAULT '0' NOT NULL, 
	puts_since DOUBLE NOT NULL, 
	PRIMARY KEY (scope)
);
INSERT INTO "command_syncs" VALUES('command_syncs ''é'' "scope"; 0','command_syncs ''é'' "digest"; 0',0.25,0,0.25);
INSERT INTO "command_syncs" VALUES('command_syncs ''é'' "scope"; 1','command_syncs ''é'' "digest"; 1',1.25,1,1.25);
INSERT INTO "command_syncs" VALUES('command_syncs ''é'' "scope"; 2','command_syncs ''é'' "digest"; 2',2.25,2,2.25);
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
INSERT INTO "deliveries" VALUES(0,'deliveries ''é'' "webhook"; 0','deliveries ''é'' "event_id"; 0','deliveries ''é'' "event"; 0','deliveries ''é'' "state"; 0',0.25,0.25,0,0.25,0,'deliveries ''é'' "last_answer"; 0','deliveries ''é'' "message_id"; 0','deliveries ''é'' "reason"; 0');
INSERT INTO "deliveries" VALUES(1,'deliveries ''é'' "webhook"; 1','deliveries ''é'' "event_id"; 1','deliveries ''é'' "event"; 1','deliveries ''é'' "state"; 1',1.25,1.25,1,1.25,1,'deliveries ''é'' "last_answer"; 1','deliveries ''é'' "message_id"; 1','deliveries ''é'' "reason"; 1');
INSERT INTO "deliveries" VALUES(2,'deliveries ''é'' "webhook"; 2','deliveries ''é'' "event_id"; 2','deliveries ''é'' "event"; 2','deliveries ''é'' "state"; 2',2.25,2.25,2,2.25,2,'deliveries ''é'' "last_answer"; 2','deliveries ''é'' "message_id"; 2','deliveries ''é'' "reason"; 2');
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
INSERT INTO "error_groups" VALUES('error_groups ''é'' "group_id"; 0','error_groups ''é'' "type"; 0','error_groups ''é'' "severity"; 0','error_groups ''é'' "command"; 0','error_groups ''é'' "template"; 0',0.25,0.25,0,'error_groups ''é'' "state"; 0',0.25,'error_groups ''é'' "changed_by"; 0',0.25);
INSERT INTO "error_groups" VALUES('error_groups ''é'' "group_id"; 1','error_groups ''é'' "type"; 1','error_groups ''é'' "severity"; 1','error_groups ''é'' "command"; 1','error_groups ''é'' "template"; 1',1.25,1.25,1,'error_groups ''é'' "state"; 1',1.25,'error_groups ''é'' "changed_by"; 1',1.25);
INSERT INTO "error_groups" VALUES('error_groups ''é'' "group_id"; 2','error_groups ''é'' "type"; 2','error_groups ''é'' "severity"; 2','error_groups ''é'' "command"; 2','error_groups ''é'' "template"; 2',2.25,2.25,2,'error_groups ''é'' "state"; 2',2.25,'error_groups ''é'' "changed_by"; 2',2.25);
CREATE TABLE error_hours (
	hour BIGINT NOT NULL, 
	group_id TEXT NOT NULL, 
	count BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (hour, group_id)
);
INSERT INTO "error_hours" VALUES(450000,'error_hours ''é'' "group_id"; 0',0);
INSERT INTO "error_hours" VALUES(450030,'error_hours ''é'' "group_id"; 1',1);
INSERT INTO "error_hours" VALUES(450060,'error_hours ''é'' "group_id"; 2',2);
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
INSERT INTO "errors" VALUES('errors ''é'' "error_id"; 0','errors ''é'' "group_id"; 0',0.25,'errors ''é'' "severity"; 0','errors ''é'' "type"; 0','errors ''é'' "message"; 0','errors ''é'' "command"; 0','errors ''é'' "platform"; 0','errors ''é'' "subject"; 0','errors ''é'' "guild"; 0','errors ''é'' "channel"; 0','errors ''é'' "trace_id"; 0','errors ''é'' "traceback"; 0');
INSERT INTO "errors" VALUES('errors ''é'' "error_id"; 1','errors ''é'' "group_id"; 1',1.25,'errors ''é'' "severity"; 1','errors ''é'' "type"; 1','errors ''é'' "message"; 1','errors ''é'' "command"; 1','errors ''é'' "platform"; 1','errors ''é'' "subject"; 1','errors ''é'' "guild"; 1','errors ''é'' "channel"; 1','errors ''é'' "trace_id"; 1','errors ''é'' "traceback"; 1');
INSERT INTO "errors" VALUES('errors ''é'' "error_id"; 2','errors ''é'' "group_id"; 2',2.25,'errors ''é'' "severity"; 2','errors ''é'' "type"; 2','errors ''é'' "message"; 2','errors ''é'' "command"; 2','errors ''é'' "platform"; 2','errors ''é'' "subject"; 2','errors ''é'' "guild"; 2','errors ''é'' "channel"; 2','errors ''é'' "trace_id"; 2','errors ''é'' "traceback"; 2');
CREATE TABLE gateway_logins (
	id INTEGER NOT NULL, 
	shard INTEGER NOT NULL, 
	shards INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "gateway_logins" VALUES(0,0,0,0.25);
INSERT INTO "gateway_logins" VALUES(1,1,1,1.25);
INSERT INTO "gateway_logins" VALUES(2,2,2,2.25);
CREATE TABLE health_episodes (
	id INTEGER NOT NULL, 
	check_name TEXT NOT NULL, 
	status TEXT NOT NULL, 
	started_at DOUBLE NOT NULL, 
	ended_at DOUBLE, 
	text TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "health_episodes" VALUES(0,'health_episodes ''é'' "check_name"; 0','ok',0.25,0.25,'health_episodes ''é'' "text"; 0');
INSERT INTO "health_episodes" VALUES(1,'health_episodes ''é'' "check_name"; 1','failed',1.25,1.25,'health_episodes ''é'' "text"; 1');
INSERT INTO "health_episodes" VALUES(2,'health_episodes ''é'' "check_name"; 2','refused',2.25,2.25,'health_episodes ''é'' "text"; 2');
CREATE TABLE health_rounds (
	id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	status TEXT NOT NULL, 
	checks TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "health_rounds" VALUES(0,0.25,'ok','health_rounds ''é'' "checks"; 0');
INSERT INTO "health_rounds" VALUES(1,1.25,'failed','health_rounds ''é'' "checks"; 1');
INSERT INTO "health_rounds" VALUES(2,2.25,'refused','health_rounds ''é'' "checks"; 2');
CREATE TABLE heartbeats (
	name TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "heartbeats" VALUES('heartbeats ''é'' "name"; 0',0.25);
INSERT INTO "heartbeats" VALUES('heartbeats ''é'' "name"; 1',1.25);
INSERT INTO "heartbeats" VALUES('heartbeats ''é'' "name"; 2',2.25);
CREATE TABLE imported (
	record TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (record)
);
INSERT INTO "imported" VALUES('imported ''é'' "record"; 0',0.25);
INSERT INTO "imported" VALUES('imported ''é'' "record"; 1',1.25);
INSERT INTO "imported" VALUES('imported ''é'' "record"; 2',2.25);
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
INSERT INTO "incidents" VALUES('incidents ''é'' "incident_id"; 0','incidents ''é'' "kind"; 0','incidents ''é'' "guild"; 0','incidents ''é'' "title"; 0','incidents ''é'' "severity"; 0','incidents ''é'' "state"; 0','incidents ''é'' "opened_by"; 0',0.25,'incidents ''é'' "closed_by"; 0',0.25,'incidents ''é'' "details"; 0');
INSERT INTO "incidents" VALUES('incidents ''é'' "incident_id"; 1','incidents ''é'' "kind"; 1','incidents ''é'' "guild"; 1','incidents ''é'' "title"; 1','incidents ''é'' "severity"; 1','incidents ''é'' "state"; 1','incidents ''é'' "opened_by"; 1',1.25,'incidents ''é'' "closed_by"; 1',1.25,'incidents ''é'' "details"; 1');
INSERT INTO "incidents" VALUES('incidents ''é'' "incident_id"; 2','incidents ''é'' "kind"; 2','incidents ''é'' "guild"; 2','incidents ''é'' "title"; 2','incidents ''é'' "severity"; 2','incidents ''é'' "state"; 2','incidents ''é'' "opened_by"; 2',2.25,'incidents ''é'' "closed_by"; 2',2.25,'incidents ''é'' "details"; 2');
CREATE TABLE job_runs (
	id INTEGER NOT NULL, 
	job TEXT NOT NULL, 
	started_at DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	outcome TEXT NOT NULL, 
	error TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "job_runs" VALUES(0,'job_runs ''é'' "job"; 0',0.25,0.25,'job_runs ''é'' "outcome"; 0','job_runs ''é'' "error"; 0');
INSERT INTO "job_runs" VALUES(1,'job_runs ''é'' "job"; 1',1.25,1.25,'job_runs ''é'' "outcome"; 1','job_runs ''é'' "error"; 1');
INSERT INTO "job_runs" VALUES(2,'job_runs ''é'' "job"; 2',2.25,2.25,'job_runs ''é'' "outcome"; 2','job_runs ''é'' "error"; 2');
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
INSERT INTO "jobs" VALUES('jobs ''é'' "name"; 0',0,'jobs ''é'' "schedule"; 0',0.25,0.25,0.25,0,0,0,'jobs ''é'' "last_error"; 0');
INSERT INTO "jobs" VALUES('jobs ''é'' "name"; 1',1,'jobs ''é'' "schedule"; 1',1.25,1.25,1.25,1,1,1,'jobs ''é'' "last_error"; 1');
INSERT INTO "jobs" VALUES('jobs ''é'' "name"; 2',2,'jobs ''é'' "schedule"; 2',2.25,2.25,2.25,2,2,2,'jobs ''é'' "last_error"; 2');
CREATE TABLE leases (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	fence BIGINT NOT NULL, 
	until DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "leases" VALUES('leases ''é'' "name"; 0','leases ''é'' "holder"; 0',0,0.25);
INSERT INTO "leases" VALUES('leases ''é'' "name"; 1','leases ''é'' "holder"; 1',1,1.25);
INSERT INTO "leases" VALUES('leases ''é'' "name"; 2','leases ''é'' "holder"; 2',2,2.25);
CREATE TABLE log_templates (
	template TEXT NOT NULL, 
	first_at DOUBLE NOT NULL, 
	last_at DOUBLE NOT NULL, 
	count BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (template)
);
INSERT INTO "log_templates" VALUES('log_templates ''é'' "template"; 0',0.25,0.25,0);
INSERT INTO "log_templates" VALUES('log_templates ''é'' "template"; 1',1.25,1.25,1);
INSERT INTO "log_templates" VALUES('log_templates ''é'' "template"; 2',2.25,2.25,2);
CREATE TABLE "profile" (
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
INSERT INTO "profile" VALUES(0,450000,'profile ''é'' "command"; 0','profile ''é'' "part"; 0','ok',0,0.25,0.25,0.25,X'70726F66696C652027C3A9272022736B65746368223B203000FF');
INSERT INTO "profile" VALUES(1,450030,'profile ''é'' "command"; 1','profile ''é'' "part"; 1','failed',1,1.25,1.25,1.25,X'70726F66696C652027C3A9272022736B65746368223B203100FF');
INSERT INTO "profile" VALUES(2,450060,'profile ''é'' "command"; 2','profile ''é'' "part"; 2','refused',2,2.25,2.25,2.25,X'70726F66696C652027C3A9272022736B65746368223B203200FF');
CREATE TABLE rate_limit_cooldowns (
	platform TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	command TEXT NOT NULL, 
	until DOUBLE NOT NULL, 
	PRIMARY KEY (platform, subject, command)
);
INSERT INTO "rate_limit_cooldowns" VALUES('rate_limit_cooldowns ''é'' "platform"; 0','rate_limit_cooldowns ''é'' "subject"; 0','rate_limit_cooldowns ''é'' "command"; 0',0.25);
INSERT INTO "rate_limit_cooldowns" VALUES('rate_limit_cooldowns ''é'' "platform"; 1','rate_limit_cooldowns ''é'' "subject"; 1','rate_limit_cooldowns ''é'' "command"; 1',1.25);
INSERT INTO "rate_limit_cooldowns" VALUES('rate_limit_cooldowns ''é'' "platform"; 2','rate_limit_cooldowns ''é'' "subject"; 2','rate_limit_cooldowns ''é'' "command"; 2',2.25);
CREATE TABLE rate_limit_exemptions (
	platform TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	until DOUBLE, 
	given_by TEXT NOT NULL, 
	given_at DOUBLE NOT NULL, 
	PRIMARY KEY (platform, subject)
);
INSERT INTO "rate_limit_exemptions" VALUES('rate_limit_exemptions ''é'' "platform"; 0','rate_limit_exemptions ''é'' "subject"; 0',0.25,'rate_limit_exemptions ''é'' "given_by"; 0',0.25);
INSERT INTO "rate_limit_exemptions" VALUES('rate_limit_exemptions ''é'' "platform"; 1','rate_limit_exemptions ''é'' "subject"; 1',1.25,'rate_limit_exemptions ''é'' "given_by"; 1',1.25);
INSERT INTO "rate_limit_exemptions" VALUES('rate_limit_exemptions ''é'' "platform"; 2','rate_limit_exemptions ''é'' "subject"; 2',2.25,'rate_limit_exemptions ''é'' "given_by"; 2',2.25);
CREATE TABLE rate_limit_refusals (
	command TEXT NOT NULL, 
	count BIGINT DEFAULT '0' NOT NULL, 
	last_at DOUBLE NOT NULL, 
	PRIMARY KEY (command)
);
INSERT INTO "rate_limit_refusals" VALUES('rate_limit_refusals ''é'' "command"; 0',0,0.25);
INSERT INTO "rate_limit_refusals" VALUES('rate_limit_refusals ''é'' "command"; 1',1,1.25);
INSERT INTO "rate_limit_refusals" VALUES('rate_limit_refusals ''é'' "command"; 2',2,2.25);
CREATE TABLE rate_limit_shared (
	platform TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	spent_until DOUBLE NOT NULL, 
	PRIMARY KEY (platform, subject, scope)
);
INSERT INTO "rate_limit_shared" VALUES('rate_limit_shared ''é'' "platform"; 0','rate_limit_shared ''é'' "subject"; 0','rate_limit_shared ''é'' "scope"; 0',0.25);
INSERT INTO "rate_limit_shared" VALUES('rate_limit_shared ''é'' "platform"; 1','rate_limit_shared ''é'' "subject"; 1','rate_limit_shared ''é'' "scope"; 1',1.25);
INSERT INTO "rate_limit_shared" VALUES('rate_limit_shared ''é'' "platform"; 2','rate_limit_shared ''é'' "subject"; 2','rate_limit_shared ''é'' "scope"; 2',2.25);
CREATE TABLE rate_limit_state (
	platform TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	spent_until DOUBLE NOT NULL, 
	cooldown_until DOUBLE NOT NULL, 
	silent_until DOUBLE NOT NULL, 
	refusals BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (platform, subject)
);
INSERT INTO "rate_limit_state" VALUES('rate_limit_state ''é'' "platform"; 0','rate_limit_state ''é'' "subject"; 0',0.25,0.25,0.25,0);
INSERT INTO "rate_limit_state" VALUES('rate_limit_state ''é'' "platform"; 1','rate_limit_state ''é'' "subject"; 1',1.25,1.25,1.25,1);
INSERT INTO "rate_limit_state" VALUES('rate_limit_state ''é'' "platform"; 2','rate_limit_state ''é'' "subject"; 2',2.25,2.25,2.25,2);
CREATE TABLE rate_limit_violations (
	id INTEGER NOT NULL, 
	platform TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	command TEXT NOT NULL, 
	action TEXT NOT NULL, 
	until DOUBLE, 
	cleared_at DOUBLE, enforced TEXT DEFAULT '' NOT NULL, guild TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "rate_limit_violations" VALUES(0,'rate_limit_violations ''é'' "platform"; 0','rate_limit_violations ''é'' "subject"; 0',0.25,'rate_limit_violations ''é'' "command"; 0','rate_limit_violations ''é'' "action"; 0',0.25,0.25,'rate_limit_violations ''é'' "enforced"; 0','rate_limit_violations ''é'' "guild"; 0');
INSERT INTO "rate_limit_violations" VALUES(1,'rate_limit_violations ''é'' "platform"; 1','rate_limit_violations ''é'' "subject"; 1',1.25,'rate_limit_violations ''é'' "command"; 1','rate_limit_violations ''é'' "action"; 1',1.25,1.25,'rate_limit_violations ''é'' "enforced"; 1','rate_limit_violations ''é'' "guild"; 1');
INSERT INTO "rate_limit_violations" VALUES(2,'rate_limit_violations ''é'' "platform"; 2','rate_limit_violations ''é'' "subject"; 2',2.25,'rate_limit_violations ''é'' "command"; 2','rate_limit_violations ''é'' "action"; 2',2.25,2.25,'rate_limit_violations ''é'' "enforced"; 2','rate_limit_violations ''é'' "guild"; 2');
CREATE TABLE rollups (
	name TEXT NOT NULL, 
	upto BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "rollups" VALUES('rollups ''é'' "name"; 0',450000);
INSERT INTO "rollups" VALUES('rollups ''é'' "name"; 1',450030);
INSERT INTO "rollups" VALUES('rollups ''é'' "name"; 2',450060);
CREATE TABLE settings (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	set_by TEXT NOT NULL, 
	set_at DOUBLE NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('settings ''é'' "key"; 0','settings ''é'' "value"; 0','settings ''é'' "set_by"; 0',0.25);
INSERT INTO "settings" VALUES('settings ''é'' "key"; 1','settings ''é'' "value"; 1','settings ''é'' "set_by"; 1',1.25);
INSERT INTO "settings" VALUES('settings ''é'' "key"; 2','settings ''é'' "value"; 2','settings ''é'' "set_by"; 2',2.25);
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
INSERT INTO "signals" VALUES('signals ''é'' "signal_id"; 0','signals ''é'' "kind"; 0','signals ''é'' "severity"; 0','signals ''é'' "title"; 0','signals ''é'' "text"; 0','signals ''é'' "fields"; 0','signals ''é'' "source"; 0','signals ''é'' "key"; 0','signals ''é'' "subject"; 0',0.25,0.25,0);
INSERT INTO "signals" VALUES('signals ''é'' "signal_id"; 1','signals ''é'' "kind"; 1','signals ''é'' "severity"; 1','signals ''é'' "title"; 1','signals ''é'' "text"; 1','signals ''é'' "fields"; 1','signals ''é'' "source"; 1','signals ''é'' "key"; 1','signals ''é'' "subject"; 1',1.25,1.25,1);
INSERT INTO "signals" VALUES('signals ''é'' "signal_id"; 2','signals ''é'' "kind"; 2','signals ''é'' "severity"; 2','signals ''é'' "title"; 2','signals ''é'' "text"; 2','signals ''é'' "fields"; 2','signals ''é'' "source"; 2','signals ''é'' "key"; 2','signals ''é'' "subject"; 2',2.25,2.25,2);
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
INSERT INTO "slow_runs" VALUES(0,0.25,'slow_runs ''é'' "command"; 0',0.25,'slow_runs ''é'' "platform"; 0','slow_runs ''é'' "subject"; 0','slow_runs ''é'' "guild"; 0','slow_runs ''é'' "trace_id"; 0');
INSERT INTO "slow_runs" VALUES(1,1.25,'slow_runs ''é'' "command"; 1',1.25,'slow_runs ''é'' "platform"; 1','slow_runs ''é'' "subject"; 1','slow_runs ''é'' "guild"; 1','slow_runs ''é'' "trace_id"; 1');
INSERT INTO "slow_runs" VALUES(2,2.25,'slow_runs ''é'' "command"; 2',2.25,'slow_runs ''é'' "platform"; 2','slow_runs ''é'' "subject"; 2','slow_runs ''é'' "guild"; 2','slow_runs ''é'' "trace_id"; 2');
CREATE TABLE timeline (
	id INTEGER NOT NULL, 
	incident_id TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	done_by TEXT NOT NULL, 
	action TEXT NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "timeline" VALUES(0,'timeline ''é'' "incident_id"; 0',0.25,'timeline ''é'' "done_by"; 0','timeline ''é'' "action"; 0','timeline ''é'' "text"; 0');
INSERT INTO "timeline" VALUES(1,'timeline ''é'' "incident_id"; 1',1.25,'timeline ''é'' "done_by"; 1','timeline ''é'' "action"; 1','timeline ''é'' "text"; 1');
INSERT INTO "timeline" VALUES(2,'timeline ''é'' "incident_id"; 2',2.25,'timeline ''é'' "done_by"; 2','timeline ''é'' "action"; 2','timeline ''é'' "text"; 2');
CREATE TABLE traces (
	id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	count BIGINT DEFAULT '0' NOT NULL, 
	ids TEXT NOT NULL, 
	packed BLOB NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "traces" VALUES(0,0.25,0,'traces ''é'' "ids"; 0',X'7472616365732027C3A92720227061636B6564223B203000FF');
INSERT INTO "traces" VALUES(1,1.25,1,'traces ''é'' "ids"; 1',X'7472616365732027C3A92720227061636B6564223B203100FF');
INSERT INTO "traces" VALUES(2,2.25,2,'traces ''é'' "ids"; 2',X'7472616365732027C3A92720227061636B6564223B203200FF');
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
INSERT INTO "usage" VALUES(450000,'usage ''é'' "platform"; 0','usage ''é'' "guild"; 0','usage ''é'' "subject"; 0','usage ''é'' "command"; 0','ok','usage ''é'' "refused_by"; 0',0,0.25,0.25,0.25);
INSERT INTO "usage" VALUES(450030,'usage ''é'' "platform"; 1','usage ''é'' "guild"; 1','usage ''é'' "subject"; 1','usage ''é'' "command"; 1','failed','usage ''é'' "refused_by"; 1',1,1.25,1.25,1.25);
INSERT INTO "usage" VALUES(450060,'usage ''é'' "platform"; 2','usage ''é'' "guild"; 2','usage ''é'' "subject"; 2','usage ''é'' "command"; 2','refused','usage ''é'' "refused_by"; 2',2,2.25,2.25,2.25);
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
 WITHOUT ROWID

;
INSERT INTO "usage_counts" VALUES(0,'usage_counts ''é'' "command"; 0',450000,0,0,0,0,0,0.25,0.25,0.25);
INSERT INTO "usage_counts" VALUES(1,'usage_counts ''é'' "command"; 1',450030,1,1,1,1,1,1.25,1.25,1.25);
INSERT INTO "usage_counts" VALUES(2,'usage_counts ''é'' "command"; 2',450060,2,2,2,2,2,2.25,2.25,2.25);
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
 WITHOUT ROWID

;
INSERT INTO "usage_guilds" VALUES('usage_guilds ''é'' "platform"; 0','usage_guilds ''é'' "guild"; 0','usage_guilds ''é'' "command"; 0',0,0,0,0,0,0.25,0.25,0.25);
INSERT INTO "usage_guilds" VALUES('usage_guilds ''é'' "platform"; 1','usage_guilds ''é'' "guild"; 1','usage_guilds ''é'' "command"; 1',1,1,1,1,1,1.25,1.25,1.25);
INSERT INTO "usage_guilds" VALUES('usage_guilds ''é'' "platform"; 2','usage_guilds ''é'' "guild"; 2','usage_guilds ''é'' "command"; 2',2,2,2,2,2,2.25,2.25,2.25);
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
 WITHOUT ROWID

;
INSERT INTO "usage_months" VALUES(450000,'usage_months ''é'' "platform"; 0','usage_months ''é'' "subject"; 0','usage_months ''é'' "guild"; 0','usage_months ''é'' "command"; 0',0,0,0,0,0,0.25,0.25,0.25);
INSERT INTO "usage_months" VALUES(450030,'usage_months ''é'' "platform"; 1','usage_months ''é'' "subject"; 1','usage_months ''é'' "guild"; 1','usage_months ''é'' "command"; 1',1,1,1,1,1,1.25,1.25,1.25);
INSERT INTO "usage_months" VALUES(450060,'usage_months ''é'' "platform"; 2','usage_months ''é'' "subject"; 2','usage_months ''é'' "guild"; 2','usage_months ''é'' "command"; 2',2,2,2,2,2,2.25,2.25,2.25);
CREATE TABLE usage_people (
	kind TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	platform TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	count BIGINT DEFAULT '0' NOT NULL, 
	last_at DOUBLE NOT NULL, 
	PRIMARY KEY (kind, scope, platform, subject)
)
 WITHOUT ROWID

;
INSERT INTO "usage_people" VALUES('usage_people ''é'' "kind"; 0','usage_people ''é'' "scope"; 0','usage_people ''é'' "platform"; 0','usage_people ''é'' "subject"; 0',0,0.25);
INSERT INTO "usage_people" VALUES('usage_people ''é'' "kind"; 1','usage_people ''é'' "scope"; 1','usage_people ''é'' "platform"; 1','usage_people ''é'' "subject"; 1',1,1.25);
INSERT INTO "usage_people" VALUES('usage_people ''é'' "kind"; 2','usage_people ''é'' "scope"; 2','usage_people ''é'' "platform"; 2','usage_people ''é'' "subject"; 2',2,2.25);
CREATE TABLE web_sessions (
	digest TEXT NOT NULL, 
	token TEXT NOT NULL, 
	role TEXT NOT NULL, 
	csrf TEXT NOT NULL, 
	began_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "web_sessions" VALUES('web_sessions ''é'' "digest"; 0','web_sessions ''é'' "token"; 0','web_sessions ''é'' "role"; 0','web_sessions ''é'' "csrf"; 0',0.25,0.25);
INSERT INTO "web_sessions" VALUES('web_sessions ''é'' "digest"; 1','web_sessions ''é'' "token"; 1','web_sessions ''é'' "role"; 1','web_sessions ''é'' "csrf"; 1',1.25,1.25);
INSERT INTO "web_sessions" VALUES('web_sessions ''é'' "digest"; 2','web_sessions ''é'' "token"; 2','web_sessions ''é'' "role"; 2','web_sessions ''é'' "csrf"; 2',2.25,2.25);
CREATE TABLE web_tokens (
	name TEXT NOT NULL, 
	role TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	made_by TEXT NOT NULL, 
	made_at DOUBLE NOT NULL, 
	used_at DOUBLE, 
	PRIMARY KEY (name)
);
INSERT INTO "web_tokens" VALUES('web_tokens ''é'' "name"; 0','web_tokens ''é'' "role"; 0','web_tokens ''é'' "digest"; 0','web_tokens ''é'' "made_by"; 0',0.25,0.25);
INSERT INTO "web_tokens" VALUES('web_tokens ''é'' "name"; 1','web_tokens ''é'' "role"; 1','web_tokens ''é'' "digest"; 1','web_tokens ''é'' "made_by"; 1',1.25,1.25);
INSERT INTO "web_tokens" VALUES('web_tokens ''é'' "name"; 2','web_tokens ''é'' "role"; 2','web_tokens ''é'' "digest"; 2','web_tokens ''é'' "made_by"; 2',2.25,2.25);
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
INSERT INTO "webhooks" VALUES('webhooks ''é'' "name"; 0','webhooks ''é'' "type"; 0','webhooks ''é'' "address"; 0','webhooks ''é'' "masked"; 0','webhooks ''é'' "triggers"; 0','webhooks ''é'' "severity"; 0',0,'webhooks ''é'' "secrets"; 0',0.25,'webhooks ''é'' "created_by"; 0',0.25,'webhooks ''é'' "state"; 0','webhooks ''é'' "state_reason"; 0',0.25,0,0,0,0.25,'webhooks ''é'' "last_answer"; 0');
INSERT INTO "webhooks" VALUES('webhooks ''é'' "name"; 1','webhooks ''é'' "type"; 1','webhooks ''é'' "address"; 1','webhooks ''é'' "masked"; 1','webhooks ''é'' "triggers"; 1','webhooks ''é'' "severity"; 1',1,'webhooks ''é'' "secrets"; 1',1.25,'webhooks ''é'' "created_by"; 1',1.25,'webhooks ''é'' "state"; 1','webhooks ''é'' "state_reason"; 1',1.25,1,1,1,1.25,'webhooks ''é'' "last_answer"; 1');
INSERT INTO "webhooks" VALUES('webhooks ''é'' "name"; 2','webhooks ''é'' "type"; 2','webhooks ''é'' "address"; 2','webhooks ''é'' "masked"; 2','webhooks ''é'' "triggers"; 2','webhooks ''é'' "severity"; 2',2,'webhooks ''é'' "secrets"; 2',2.25,'webhooks ''é'' "created_by"; 2',2.25,'webhooks ''é'' "state"; 2','webhooks ''é'' "state_reason"; 2',2.25,2,2,2,2.25,'webhooks ''é'' "last_answer"; 2');
CREATE INDEX blacklist_history_subject ON blacklist_history (platform, kind, subject);
CREATE INDEX errors_at ON errors (at);
CREATE INDEX errors_group ON errors (group_id);
CREATE INDEX job_runs_job ON job_runs (job, started_at);
CREATE INDEX rate_limit_violations_subject ON rate_limit_violations (platform, subject);
CREATE INDEX slow_runs_at ON slow_runs (at);
CREATE INDEX traces_at ON traces (at);
CREATE INDEX usage_subject ON usage (platform, subject);
CREATE INDEX gateway_logins_at ON gateway_logins (at);
CREATE INDEX deliveries_due ON deliveries (state, webhook, id);
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX health_episodes_started_at ON health_episodes (started_at);
CREATE INDEX health_rounds_at ON health_rounds (at);
CREATE INDEX incidents_opened_at ON incidents (opened_at);
CREATE INDEX signals_at ON signals (at);
CREATE INDEX signals_key ON signals ("key", last_at);
CREATE INDEX timeline_incident ON timeline (incident_id);
CREATE INDEX usage_guild ON usage (platform, guild, hour);
CREATE INDEX signals_last_at ON signals (last_at);
CREATE INDEX rate_limit_violations_until ON rate_limit_violations (until);
COMMIT;
