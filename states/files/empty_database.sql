-- Deletes what a Uyuni server has come to hold, and keeps what a fresh one has: architectures, types, schedules, the schema's
-- version, organisations and their users. One transaction: where a release has a table that stands in the way, nothing is deleted.
--
-- By Uyuni's own functions where it has one, since many foreign keys do not cascade. Never TRUNCATE ... CASCADE: it reaches
-- hundreds of tables, seeded ones among them.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL lock_timeout = '30s';
SET LOCAL client_min_messages = warning;

DO $$
DECLARE
    -- In the order in which they refer to each other. What a release does not have is passed over.
    after_channels CONSTANT text[] := ARRAY[
        'rhnServerProfile', 'rhnSnapshot', 'rhnChannelPackage', 'rhnErrataPackageTmp', 'rhnErrataTmp', 'rhnPackage',
        -- Its job deletes files, and by now the package folder may be one that other nodes share.
        'rhnPackageFileDeleteQueue',
        'rhnKickstartSession', 'rhnKSData', 'rhnKickstartableTree', 'rhnContentSource', 'rhnRegToken',
        'rhnCustomDataKey', 'suseContentProject', 'suseRecurringAction', 'suseImageInfo', 'suseImageProfile',
        'rhnAction', 'suseSaltPillar',
        -- What waits, and who is logged in.
        'rhnTaskQueue', 'rhnRepoRegenQueue', 'rhnErrataQueue', 'rhnOrgErrataCacheQueue', 'suseSaltEvent',
        'rhnSet', 'PXTSessions'];
    name text;
BEGIN
    PERFORM delete_server(id) FROM rhnServer;

    -- Clones and children before what they come from.
    PERFORM delete_channel(id) FROM rhnChannel WHERE parent_channel IS NOT NULL;
    PERFORM delete_channel(id) FROM rhnChannel;

    IF to_regclass('rhnErrata') IS NOT NULL THEN
        PERFORM delete_errata(id) FROM rhnErrata;
    END IF;
    IF to_regclass('rhnConfigChannel') IS NOT NULL THEN
        PERFORM rhn_config.delete_channel(id) FROM rhnConfigChannel;
    END IF;
    FOREACH name IN ARRAY after_channels LOOP
        IF to_regclass(name) IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s', to_regclass(name));
        END IF;
    END LOOP;

    -- Those with a type are entitlements, which every organisation has.
    DELETE FROM rhnServerGroup WHERE group_type IS NULL;

    IF EXISTS (SELECT FROM rhnServer) OR EXISTS (SELECT FROM rhnChannel) THEN
        RAISE EXCEPTION 'systems or channels are left';
    END IF;
END $$;

COMMIT;
