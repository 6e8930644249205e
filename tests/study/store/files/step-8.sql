-- A store as the last version with numbered steps of its own wrote it (step 8, November 2026).
BEGIN TRANSACTION;
CREATE TABLE answer_retries (
	id INTEGER NOT NULL, 
	session_id VARCHAR(32) NOT NULL, 
	question_id VARCHAR(120) NOT NULL, 
	attempt INTEGER NOT NULL, 
	option VARCHAR(120) NOT NULL, 
	correct BOOLEAN NOT NULL, 
	answered_at DATETIME NOT NULL, 
	duration_ms INTEGER NOT NULL, 
	response JSON, 
	points FLOAT, 
	confidence VARCHAR(10), 
	hints INTEGER, 
	PRIMARY KEY (id), 
	CONSTRAINT answer_retries_once UNIQUE (session_id, question_id, attempt), 
	FOREIGN KEY(session_id) REFERENCES quiz_sessions (id)
);
CREATE TABLE answers (
	id INTEGER NOT NULL, 
	session_id VARCHAR(32) NOT NULL, 
	question_id VARCHAR(120) NOT NULL, 
	option VARCHAR(120) NOT NULL, 
	correct BOOLEAN NOT NULL, 
	answered_at DATETIME NOT NULL, 
	duration_ms INTEGER NOT NULL, response JSON, points FLOAT, confidence VARCHAR(10), hints INTEGER, 
	PRIMARY KEY (id), 
	CONSTRAINT answers_once UNIQUE (session_id, question_id), 
	FOREIGN KEY(session_id) REFERENCES quiz_sessions (id)
);
CREATE TABLE browsers (
	id VARCHAR(64) NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	chosen_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
INSERT INTO "browsers" VALUES('browser-of-ana','d4086ad1ec1b4366a388b1e17f52aef2','2026-03-04 10:00:00.000000');
CREATE TABLE card_requests (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	card_id VARCHAR(120) NOT NULL, 
	because VARCHAR(120) NOT NULL, 
	requested_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE card_reviews (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	card_id VARCHAR(120) NOT NULL, 
	rating INTEGER NOT NULL, 
	reviewed_at DATETIME NOT NULL, 
	duration_ms INTEGER NOT NULL, 
	"before" JSON, 
	"after" JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
INSERT INTO "card_reviews" VALUES(1,'d4086ad1ec1b4366a388b1e17f52aef2','lora-name',3,'2026-03-04 10:00:00.000000',1200,NULL,'{"phase": "learning", "step": 1, "stability": 2.3065, "difficulty": 2.118103970459016, "due": "2026-03-04T10:10:00+00:00", "last_review": "2026-03-04T10:00:00+00:00"}');
CREATE TABLE card_verbs (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	verb VARCHAR(20) NOT NULL, 
	subject VARCHAR(120) NOT NULL, 
	review_id INTEGER, 
	value JSON NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id), 
	FOREIGN KEY(review_id) REFERENCES card_reviews (id)
);
INSERT INTO "card_verbs" VALUES(1,'d4086ad1ec1b4366a388b1e17f52aef2','rate','lora-name',1,'null','2026-03-04 10:00:00.000000');
CREATE TABLE drafts (
	profile_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(160) NOT NULL, 
	text TEXT NOT NULL, 
	saved_at DATETIME NOT NULL, 
	PRIMARY KEY (profile_id, "key"), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE explain_attempts (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(120) NOT NULL, 
	text TEXT NOT NULL, 
	submitted_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE explain_replies (
	id INTEGER NOT NULL, 
	attempt_id INTEGER NOT NULL, 
	concept_id VARCHAR(120) NOT NULL, 
	text TEXT NOT NULL, 
	replied_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(attempt_id) REFERENCES explain_attempts (id)
);
CREATE TABLE explain_verdict_undos (
	id INTEGER NOT NULL, 
	verdict_id INTEGER NOT NULL, 
	undone_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (verdict_id), 
	FOREIGN KEY(verdict_id) REFERENCES explain_verdicts (id)
);
CREATE TABLE explain_verdicts (
	id INTEGER NOT NULL, 
	attempt_id INTEGER NOT NULL, 
	concept_id VARCHAR(120) NOT NULL, 
	verdict VARCHAR(20) NOT NULL, 
	"by" VARCHAR(20) NOT NULL, 
	at DATETIME NOT NULL, rubric VARCHAR(16), confidence FLOAT, evidence JSON, reason TEXT, replies INTEGER, 
	PRIMARY KEY (id), 
	FOREIGN KEY(attempt_id) REFERENCES explain_attempts (id)
);
CREATE TABLE hints_shown (
	id INTEGER NOT NULL, 
	session_id VARCHAR(32) NOT NULL, 
	question_id VARCHAR(120) NOT NULL, 
	shown_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT hints_shown_once UNIQUE (session_id, question_id), 
	FOREIGN KEY(session_id) REFERENCES quiz_sessions (id)
);
CREATE TABLE import_undos (
	import_id INTEGER NOT NULL, 
	undone_at DATETIME NOT NULL, 
	PRIMARY KEY (import_id), 
	FOREIGN KEY(import_id) REFERENCES imports (id)
);
CREATE TABLE imports (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	file_name VARCHAR(200) NOT NULL, 
	counts JSON NOT NULL, 
	changes JSON NOT NULL, 
	imported_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE mode_marks (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	concept_id VARCHAR(120) NOT NULL, 
	mode VARCHAR(20) NOT NULL, 
	mark VARCHAR(20) NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
INSERT INTO "mode_marks" VALUES(1,'d4086ad1ec1b4366a388b1e17f52aef2','lora-rank','learn','done','2026-03-04 10:00:00.000000');
CREATE TABLE own_prompts (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(40) NOT NULL, 
	text TEXT NOT NULL, 
	hint TEXT NOT NULL, 
	concepts JSON NOT NULL, 
	withdrawn BOOLEAN NOT NULL, 
	saved_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE parameter_fits (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	fitted_at DATETIME NOT NULL, 
	reviews INTEGER NOT NULL, 
	held_out INTEGER NOT NULL, 
	parameters JSON NOT NULL, 
	"before" JSON NOT NULL, 
	"after" JSON NOT NULL, 
	kept BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE prediction_runs (
	prediction_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(120) NOT NULL, 
	started_at DATETIME NOT NULL, 
	PRIMARY KEY (prediction_id), 
	FOREIGN KEY(prediction_id) REFERENCES predictions (id)
);
CREATE TABLE prediction_verdicts (
	id INTEGER NOT NULL, 
	prediction_id VARCHAR(32) NOT NULL, 
	quantity VARCHAR(20) NOT NULL, 
	correct BOOLEAN NOT NULL, 
	judged_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT prediction_verdicts_once UNIQUE (prediction_id, quantity), 
	FOREIGN KEY(prediction_id) REFERENCES predictions (id)
);
CREATE TABLE predictions (
	id VARCHAR(32) NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	setting JSON NOT NULL, 
	guess JSON NOT NULL, 
	made_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE preferences (
	profile_id VARCHAR(32) NOT NULL, 
	name VARCHAR(40) NOT NULL, 
	value JSON NOT NULL, 
	PRIMARY KEY (profile_id, name), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
INSERT INTO "preferences" VALUES('d4086ad1ec1b4366a388b1e17f52aef2','new_cards_a_day',7);
CREATE TABLE profiles (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(60) NOT NULL, 
	named BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "profiles" VALUES('d4086ad1ec1b4366a388b1e17f52aef2','Ana',1,'2026-03-04 10:00:00.000000');
CREATE TABLE project_entries (
	id INTEGER NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	project_id VARCHAR(120) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	text TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE quiz_sessions (
	id VARCHAR(32) NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	seed INTEGER NOT NULL, 
	question_ids JSON NOT NULL, 
	choice JSON NOT NULL, 
	started_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE reading_places (
	profile_id VARCHAR(32) NOT NULL, 
	concept_id VARCHAR(120) NOT NULL, 
	mode VARCHAR(20) NOT NULL, 
	place INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (profile_id, concept_id, mode), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id)
);
CREATE TABLE review_runs (
	id VARCHAR(32) NOT NULL, 
	profile_id VARCHAR(32) NOT NULL, 
	cards INTEGER NOT NULL, 
	quiz_session_id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(120) NOT NULL, 
	started_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id), 
	FOREIGN KEY(quiz_session_id) REFERENCES quiz_sessions (id)
);
CREATE TABLE review_undos (
	id INTEGER NOT NULL, 
	review_id INTEGER NOT NULL, 
	undone_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (review_id), 
	FOREIGN KEY(review_id) REFERENCES card_reviews (id)
);
CREATE TABLE schema_steps (
	number INTEGER NOT NULL, 
	applied_at DATETIME NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "schema_steps" VALUES(1,'2026-11-27 09:44:44.354723');
INSERT INTO "schema_steps" VALUES(2,'2026-11-27 09:44:44.359037');
INSERT INTO "schema_steps" VALUES(3,'2026-11-27 09:44:44.365765');
INSERT INTO "schema_steps" VALUES(4,'2026-11-27 09:44:44.367785');
INSERT INTO "schema_steps" VALUES(5,'2026-11-27 09:44:44.374720');
INSERT INTO "schema_steps" VALUES(6,'2026-11-27 09:44:44.376407');
INSERT INTO "schema_steps" VALUES(7,'2026-11-27 09:44:44.381200');
INSERT INTO "schema_steps" VALUES(8,'2026-11-27 09:44:44.383529');
CREATE TABLE verb_undos (
	id INTEGER NOT NULL, 
	verb_id INTEGER NOT NULL, 
	undone_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (verb_id), 
	FOREIGN KEY(verb_id) REFERENCES card_verbs (id)
);
CREATE INDEX card_reviews_by_card ON card_reviews (profile_id, card_id, id);
CREATE INDEX card_requests_by_profile ON card_requests (profile_id, card_id);
CREATE INDEX quiz_sessions_by_profile ON quiz_sessions (profile_id, started_at);
CREATE INDEX explain_attempts_by_profile ON explain_attempts (profile_id, prompt_id);
CREATE INDEX explain_verdicts_by_attempt ON explain_verdicts (attempt_id);
CREATE INDEX review_runs_by_profile ON review_runs (profile_id, started_at);
CREATE INDEX predictions_by_profile ON predictions (profile_id, made_at);
CREATE INDEX prediction_runs_by_run ON prediction_runs (run_id);
CREATE INDEX card_verbs_by_profile ON card_verbs (profile_id, verb, id);
CREATE INDEX card_verbs_by_review ON card_verbs (review_id);
CREATE INDEX card_reviews_by_time ON card_reviews (profile_id, reviewed_at);
CREATE INDEX card_reviews_by_rating ON card_reviews (profile_id, rating);
CREATE INDEX parameter_fits_by_profile ON parameter_fits (profile_id, id);
CREATE INDEX imports_by_profile ON imports (profile_id, imported_at);
CREATE INDEX explain_replies_by_attempt ON explain_replies (attempt_id);
CREATE INDEX own_prompts_by_profile ON own_prompts (profile_id, prompt_id);
CREATE INDEX mode_marks_by_profile ON mode_marks (profile_id, concept_id, id);
CREATE INDEX project_entries_by_profile ON project_entries (profile_id, project_id, id);
COMMIT;
