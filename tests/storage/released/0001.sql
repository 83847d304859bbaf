BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
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
INSERT INTO "profile" VALUES(450000,'profile ''é'' "command"; 0','profile ''é'' "part"; 0','ok',0,0.25,0.25,0.25,X'70726F66696C652027C3A9272022736B65746368223B203000FF');
INSERT INTO "profile" VALUES(450030,'profile ''é'' "command"; 1','profile ''é'' "part"; 1','failed',1,1.25,1.25,1.25,X'70726F66696C652027C3A9272022736B65746368223B203100FF');
INSERT INTO "profile" VALUES(450060,'profile ''é'' "command"; 2','profile ''é'' "part"; 2','refused',2,2.25,2.25,2.25,X'70726F66696C652027C3A9272022736B65746368223B203200FF');
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
	cleared_at DOUBLE, 
	PRIMARY KEY (id)
);
INSERT INTO "rate_limit_violations" VALUES(0,'rate_limit_violations ''é'' "platform"; 0','rate_limit_violations ''é'' "subject"; 0',0.25,'rate_limit_violations ''é'' "command"; 0','rate_limit_violations ''é'' "action"; 0',0.25,0.25);
INSERT INTO "rate_limit_violations" VALUES(1,'rate_limit_violations ''é'' "platform"; 1','rate_limit_violations ''é'' "subject"; 1',1.25,'rate_limit_violations ''é'' "command"; 1','rate_limit_violations ''é'' "action"; 1',1.25,1.25);
INSERT INTO "rate_limit_violations" VALUES(2,'rate_limit_violations ''é'' "platform"; 2','rate_limit_violations ''é'' "subject"; 2',2.25,'rate_limit_violations ''é'' "command"; 2','rate_limit_violations ''é'' "action"; 2',2.25,2.25);
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
CREATE INDEX blacklist_history_subject ON blacklist_history (platform, kind, subject);
CREATE INDEX errors_at ON errors (at);
CREATE INDEX errors_group ON errors (group_id);
CREATE INDEX job_runs_job ON job_runs (job, started_at);
CREATE INDEX rate_limit_violations_subject ON rate_limit_violations (platform, subject);
CREATE INDEX slow_runs_at ON slow_runs (at);
CREATE INDEX traces_at ON traces (at);
CREATE INDEX usage_command ON usage (command, hour);
CREATE INDEX usage_subject ON usage (platform, subject);
COMMIT;
