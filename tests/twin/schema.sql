-- The part of a Uyuni database that the twin keeps: real names, types, keys and triggers, as few columns as it needs.
--
-- What matters to change capture is as in Uyuni: ids are numeric and without a default, link tables and
-- suseMinionInfo have no primary key but a unique index, `modified` moves with every update, text is never empty.
-- tables.ts describes the same tables; pg_db_test.ts compares the two.

CREATE TABLE web_customer (
    id        NUMERIC NOT NULL CONSTRAINT web_customer_id_pk PRIMARY KEY,
    name      VARCHAR(128) NOT NULL,
    created   TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified  TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX web_customer_name_uq_idx ON web_customer (name);
CREATE SEQUENCE web_customer_id_seq;

CREATE TABLE web_contact (
    id         NUMERIC CONSTRAINT web_contact_pk PRIMARY KEY,
    org_id     NUMERIC NOT NULL CONSTRAINT web_contact_org_fk REFERENCES web_customer (id),
    login      VARCHAR(64) NOT NULL,
    login_uc   VARCHAR(64) NOT NULL CONSTRAINT web_contact_login_uc_unq UNIQUE,
    password   VARCHAR(110) NOT NULL,
    read_only  CHAR(1) DEFAULT ('N') NOT NULL CONSTRAINT web_contact_ro_ck CHECK (read_only IN ('Y', 'N')),
    created    TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified   TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE SEQUENCE web_contact_id_seq;

CREATE TABLE PXTSessions (
    id           NUMERIC CONSTRAINT pxt_sessions_pk PRIMARY KEY,
    web_user_id  NUMERIC CONSTRAINT pxtsessions_user REFERENCES web_contact (id) ON DELETE CASCADE,
    expires      NUMERIC DEFAULT (0) NOT NULL,
    value        VARCHAR(4000) NOT NULL
);
CREATE SEQUENCE pxt_id_seq;

CREATE TABLE rhnServerArch (
    id     NUMERIC NOT NULL CONSTRAINT rhn_sarch_id_pk PRIMARY KEY,
    label  VARCHAR(64) NOT NULL CONSTRAINT rhn_sarch_label_uq UNIQUE,
    name   VARCHAR(64) NOT NULL
);
INSERT INTO rhnServerArch VALUES (1, 'x86_64-redhat-linux', 'x86_64'), (2, 'amd64-debian-linux', 'AMD64 Debian');

CREATE TABLE suseServerContactMethod (
    id     NUMERIC NOT NULL CONSTRAINT suse_server_contact_method_id_pk PRIMARY KEY,
    label  VARCHAR(32) NOT NULL CONSTRAINT suse_server_contact_method_label_uq UNIQUE,
    name   VARCHAR(255) NOT NULL
);
INSERT INTO suseServerContactMethod VALUES
    (0, 'default', 'server.contact-method.default'),
    (1, 'ssh-push', 'server.contact-method.ssh-push'),
    (2, 'ssh-push-tunnel', 'server.contact-method.ssh-push-tunnel');

CREATE TABLE rhnServer (
    id                 NUMERIC NOT NULL CONSTRAINT rhn_server_id_pk PRIMARY KEY,
    org_id             NUMERIC NOT NULL
                           CONSTRAINT rhn_server_oid_fk REFERENCES web_customer (id) ON DELETE CASCADE,
    digital_server_id  VARCHAR(64) NOT NULL,
    machine_id         VARCHAR(256),
    server_arch_id     NUMERIC NOT NULL CONSTRAINT rhn_server_said_fk REFERENCES rhnServerArch (id),
    os                 VARCHAR(64) NOT NULL,
    release            VARCHAR(64) NOT NULL,
    name               VARCHAR(128),
    hostname           VARCHAR(128),
    description        VARCHAR(256),
    secret             VARCHAR(64) NOT NULL,
    auto_update        CHAR(1) DEFAULT ('N') NOT NULL CONSTRAINT rhn_server_update_ck CHECK (auto_update IN ('Y', 'N')),
    contact_method_id  NUMERIC DEFAULT (0) NOT NULL
                           CONSTRAINT rhn_server_cmid_fk REFERENCES suseServerContactMethod (id),
    running_kernel     VARCHAR(64),
    last_boot          NUMERIC DEFAULT (0) NOT NULL,
    created            TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified           TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX rhn_server_dsid_uq ON rhnServer (digital_server_id);
CREATE UNIQUE INDEX rhn_server_maid_uq ON rhnServer (machine_id) WHERE machine_id IS NOT NULL;
CREATE INDEX rhn_server_oid_id_idx ON rhnServer (org_id, id);
CREATE SEQUENCE rhn_server_id_seq START WITH 1000010000;

CREATE TABLE suseMinionInfo (
    server_id              NUMERIC NOT NULL
                               CONSTRAINT suse_minion_info_sid_fk REFERENCES rhnServer (id) ON DELETE CASCADE,
    minion_id              VARCHAR(256) NOT NULL,
    os_family              VARCHAR(32),
    kernel_live_version    VARCHAR(255),
    reboot_required_after  TIMESTAMPTZ,
    created                TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified               TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
ALTER TABLE suseMinionInfo ADD CONSTRAINT rhn_minion_info_sid_uq UNIQUE (server_id);
ALTER TABLE suseMinionInfo ADD CONSTRAINT rhn_minion_info_miid_uq UNIQUE (minion_id);

CREATE TABLE rhnServerInfo (
    server_id        NUMERIC NOT NULL CONSTRAINT rhn_server_info_sid_fk REFERENCES rhnServer (id),
    checkin          TIMESTAMPTZ DEFAULT (current_timestamp),
    checkin_counter  NUMERIC DEFAULT (0)
);
CREATE UNIQUE INDEX rhn_server_info_sid_unq ON rhnServerInfo (server_id);

CREATE TABLE rhnChannelArch (
    id     NUMERIC NOT NULL CONSTRAINT rhn_carch_id_pk PRIMARY KEY,
    label  VARCHAR(64) NOT NULL CONSTRAINT rhn_carch_label_uq UNIQUE,
    name   VARCHAR(64) NOT NULL
);
INSERT INTO rhnChannelArch VALUES (1, 'channel-x86_64', 'x86_64'), (2, 'channel-amd64-deb', 'AMD64 Debian');

CREATE TABLE rhnChannel (
    id               NUMERIC NOT NULL CONSTRAINT rhn_channel_id_pk PRIMARY KEY,
    parent_channel   NUMERIC CONSTRAINT rhn_channel_parent_ch_fk REFERENCES rhnChannel (id),
    org_id           NUMERIC CONSTRAINT rhn_channel_org_fk REFERENCES web_customer (id),
    channel_arch_id  NUMERIC NOT NULL CONSTRAINT rhn_channel_caid_fk REFERENCES rhnChannelArch (id),
    label            VARCHAR(128) NOT NULL,
    basedir          VARCHAR(256) NOT NULL,
    name             VARCHAR(256) NOT NULL,
    summary          VARCHAR(500) NOT NULL,
    channel_access   VARCHAR(10) DEFAULT ('private'),
    last_modified    TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    last_synced      TIMESTAMPTZ,
    created          TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified         TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX rhn_channel_label_uq ON rhnChannel (label);
CREATE UNIQUE INDEX rhn_channel_name_uq ON rhnChannel (name);
CREATE INDEX rhn_channel_org_idx ON rhnChannel (org_id, id);
CREATE SEQUENCE rhn_channel_id_seq START WITH 101;

CREATE TABLE rhnServerChannel (
    server_id   NUMERIC NOT NULL CONSTRAINT rhn_sc_sid_fk REFERENCES rhnServer (id),
    channel_id  NUMERIC NOT NULL CONSTRAINT rhn_sc_cid_fk REFERENCES rhnChannel (id),
    created     TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified    TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX rhn_sc_sid_cid_uq ON rhnServerChannel (server_id, channel_id);
CREATE INDEX rhn_sc_cid_idx ON rhnServerChannel (channel_id);

CREATE TABLE rhnServerGroupType (
    id         NUMERIC NOT NULL CONSTRAINT rhn_servergrouptype_id_pk PRIMARY KEY,
    label      VARCHAR(32) NOT NULL CONSTRAINT rhn_servergrouptype_label_uq UNIQUE,
    name       VARCHAR(64) NOT NULL,
    permanent  CHAR(1) DEFAULT ('Y') NOT NULL,
    is_base    CHAR(1) DEFAULT ('Y') NOT NULL
);
INSERT INTO rhnServerGroupType (id, label, name) VALUES (1, 'salt_entitled', 'Salt');

CREATE TABLE rhnServerGroup (
    id               NUMERIC NOT NULL CONSTRAINT rhn_servergroup_id_pk PRIMARY KEY,
    name             VARCHAR(64) NOT NULL,
    description      VARCHAR(1024) NOT NULL,
    current_members  NUMERIC DEFAULT (0) NOT NULL,
    group_type       NUMERIC CONSTRAINT rhn_servergroup_type_fk REFERENCES rhnServerGroupType (id),
    org_id           NUMERIC NOT NULL
                         CONSTRAINT rhn_servergroup_oid_fk REFERENCES web_customer (id) ON DELETE CASCADE,
    created          TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified         TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX rhn_servergroup_oid_name_uq ON rhnServerGroup (org_id, name);
CREATE SEQUENCE rhn_server_group_id_seq;

CREATE TABLE rhnServerGroupMembers (
    server_id        NUMERIC NOT NULL CONSTRAINT rhn_sg_members_fk REFERENCES rhnServer (id),
    server_group_id  NUMERIC NOT NULL CONSTRAINT rhn_sg_groups_fk REFERENCES rhnServerGroup (id),
    created          TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified         TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX rhn_sgmembers_sid_sgid_uq ON rhnServerGroupMembers (server_id, server_group_id);
CREATE INDEX rhn_sgmembers_sgid_idx ON rhnServerGroupMembers (server_group_id);

-- The version of the schema itself, as a package name and its version.
CREATE TYPE evr_t AS (epoch VARCHAR(16), version VARCHAR(512), release VARCHAR(512), type VARCHAR(10));
CREATE TABLE rhnPackageName (
    id    NUMERIC NOT NULL CONSTRAINT rhn_pn_id_pk PRIMARY KEY,
    name  VARCHAR(256) NOT NULL
);
CREATE TABLE rhnPackageEVR (
    id       NUMERIC NOT NULL CONSTRAINT rhn_pe_id_pk PRIMARY KEY,
    epoch    VARCHAR(16),
    version  VARCHAR(512) NOT NULL,
    release  VARCHAR(512) NOT NULL,
    evr      evr_t NOT NULL
);
CREATE TABLE rhnVersionInfo (
    label     VARCHAR(64) NOT NULL,
    name_id   NUMERIC NOT NULL CONSTRAINT rhn_versioninfo_nid_fk REFERENCES rhnPackageName (id),
    evr_id    NUMERIC NOT NULL CONSTRAINT rhn_versioninfo_eid_fk REFERENCES rhnPackageEVR (id),
    created   TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL,
    modified  TIMESTAMPTZ DEFAULT (current_timestamp) NOT NULL
);
CREATE UNIQUE INDEX rhn_versioninfo_label_uq ON rhnVersionInfo (label);
INSERT INTO rhnPackageName VALUES (1, 'susemanager-schema');
INSERT INTO rhnPackageEVR VALUES (1, NULL, '5.2.1', '1', ROW(NULL, '5.2.1', '1', 'rpm'));
INSERT INTO rhnVersionInfo (label, name_id, evr_id) VALUES ('schema', 1, 1);

CREATE FUNCTION rhn_modified_trig_fun() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    NEW.modified := current_timestamp;
    RETURN NEW;
END $$;

DO $$
DECLARE it RECORD;
BEGIN
    FOR it IN SELECT table_name, column_name, data_type FROM information_schema.columns
              WHERE table_schema = current_schema() LOOP
        IF it.column_name = 'modified' THEN
            EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON %I FOR EACH ROW '
                'EXECUTE FUNCTION rhn_modified_trig_fun()', it.table_name || '_mod_trig', it.table_name);
        ELSIF it.data_type = 'character varying' THEN
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I <> '''')',
                it.table_name, 'vn_' || it.table_name || '_' || it.column_name, it.column_name);
        END IF;
    END LOOP;
END $$;
