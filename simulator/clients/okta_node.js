// The fixed story with @okta/okta-sdk-nodejs. Run where its node_modules are found (NODE_PATH).
'use strict';

const { readFileSync } = require('fs');
const okta = require('@okta/okta-sdk-nodejs');

const APP = process.env.APP;

async function call(name, work, check) {
  let given;
  let trouble = null;
  try {
    given = await work();
    if (check && !check(given)) trouble = `unexpected: ${JSON.stringify(given)}`.slice(0, 300);
  } catch (error) {
    trouble = `${error.name}: ${error.message}`.slice(0, 300);
  }
  console.log(JSON.stringify({ call: name, trouble }));
  return given;
}

// What a refused call ended with.
async function refusal(work) {
  try {
    await work();
    return 'not refused';
  } catch (error) {
    return `${error.errorCode} ${error.errorSummary}`;
  }
}

async function count(collection) {
  let items = 0;
  await (await collection).each(() => { items += 1; });
  return items;
}

async function story(how, client) {
  const step = (name, work, check) => call(`${how}: ${name}`, work, check);
  const { userApi, groupApi, applicationApi, systemLogApi, eventHookApi, orgSettingApi } = client;
  await step('getOrgSettings', () => orgSettingApi.getOrgSettings(), (org) => org.id.startsWith('00o'));
  await step('getUser by login', () => userApi.getUser({ userId: 'ada.lovelace@acme.example' }), (user) => user.profile.firstName === 'Ada');
  await step('getUser, nobody', () => refusal(() => userApi.getUser({ userId: '00uNOBODY' })), (text) => text.startsWith('E0000007'));
  const login = `node.${how}@acme.example`;
  const body = {
    profile: { firstName: 'Node', lastName: 'Person', email: login, login },
    credentials: { password: { value: 'Example-Passw0rd' } },
  };
  const user = await step('createUser', () => userApi.createUser({ body }), (made) => made.status === 'ACTIVE');
  await step('createUser again', () => refusal(() => userApi.createUser({ body })), (text) => text.startsWith('E0000001'));
  await step('updateUser', () => userApi.updateUser({ userId: user.id, user: { profile: { lastName: 'Changed' } } }), (now) => now.profile.lastName === 'Changed');
  await step('listUsers, page by page', () => count(userApi.listUsers({ limit: 2 })), (users) => users >= 4);
  await step('listUsers, search', () => count(userApi.listUsers({ search: `profile.login eq "${login}"` })), (users) => users === 1);
  const group = await step('createGroup', () => groupApi.createGroup({ group: { profile: { name: `Node group ${how}` } } }), (made) => made.id.startsWith('00g'));
  await step('listGroups', () => count(groupApi.listGroups({ q: 'Node group' })), (groups) => groups === 1);
  await step('assignUserToGroup', () => groupApi.assignUserToGroup({ groupId: group.id, userId: user.id }));
  await step('listGroupUsers', () => count(groupApi.listGroupUsers({ groupId: group.id })), (users) => users === 1);
  await step('listUserGroups', () => count(userApi.listUserGroups({ userId: user.id })), (groups) => groups === 2);
  await step('getApplication', () => applicationApi.getApplication({ appId: APP }), (app) => app.id === APP);
  await step('listApplications', () => count(applicationApi.listApplications()), (apps) => apps === 1);
  const appUser = { id: user.id, scope: 'USER', credentials: { userName: 'node_person' } };
  await step('assignUserToApplication', () => applicationApi.assignUserToApplication({ appId: APP, appUser }), (made) => made.id === user.id);
  await step('getApplicationUser', () => applicationApi.getApplicationUser({ appId: APP, userId: user.id }), (made) => made.credentials.userName === 'node_person');
  await step('listApplicationUsers', () => count(applicationApi.listApplicationUsers({ appId: APP })), (users) => users >= 2);
  await step('unassignUserFromApplication', () => applicationApi.unassignUserFromApplication({ appId: APP, userId: user.id }));
  await step('assignGroupToApplication', () => applicationApi.assignGroupToApplication({ appId: APP, groupId: group.id, applicationGroupAssignment: {} }), (made) => made.id === group.id);
  await step('listApplicationGroupAssignments', () => count(applicationApi.listApplicationGroupAssignments({ appId: APP })), (groups) => groups === 2);
  await step('listAssignedApplicationsForGroup', () => count(groupApi.listAssignedApplicationsForGroup({ groupId: group.id })), (apps) => apps === 1);
  await step('unassignApplicationFromGroup', () => applicationApi.unassignApplicationFromGroup({ appId: APP, groupId: group.id }));
  await step('unassignUserFromGroup', () => groupApi.unassignUserFromGroup({ groupId: group.id, userId: user.id }));
  await step('deleteGroup', () => groupApi.deleteGroup({ groupId: group.id }));
  await step('suspendUser', () => userApi.suspendUser({ userId: user.id }));
  await step('unsuspendUser', () => userApi.unsuspendUser({ userId: user.id }));
  await step('deactivateUser', () => userApi.deactivateUser({ userId: user.id }));
  await step('deleteUser', () => userApi.deleteUser({ userId: user.id }));
  await step('listLogEvents, page by page', () => count(systemLogApi.listLogEvents({ limit: 5, until: '2100-01-01T00:00:00Z' })), (events) => events >= 8);
  const eventHook = {
    name: `Node hook ${how}`,
    events: { type: 'EVENT_TYPE', items: ['user.lifecycle.create'] },
    channel: {
      type: 'HTTP',
      version: '1.0.0',
      config: { uri: process.env.HOOK, authScheme: { type: 'HEADER', key: 'authorization', value: 'x' } },
    },
  };
  const hook = await step('createEventHook', () => eventHookApi.createEventHook({ eventHook }), (made) => made.status === 'ACTIVE');
  await step('verifyEventHook', () => eventHookApi.verifyEventHook({ eventHookId: hook.id }), (now) => now.verificationStatus === 'VERIFIED');
  await step('deactivateEventHook', () => eventHookApi.deactivateEventHook({ eventHookId: hook.id }), (now) => now.status === 'INACTIVE');
  await step('deleteEventHook', () => eventHookApi.deleteEventHook({ eventHookId: hook.id }));
  await step('getEventHook, gone', () => refusal(() => eventHookApi.getEventHook({ eventHookId: hook.id })), (text) => text.includes('(Webhook)'));
}

async function main() {
  const orgUrl = process.env.OKTA;
  const scopes = ['users', 'groups', 'apps', 'eventHooks'].flatMap((what) => [`okta.${what}.read`, `okta.${what}.manage`]);
  const key = {
    orgUrl,
    authorizationMode: 'PrivateKey',
    privateKey: readFileSync(process.env.KEY_FILE, 'utf8'),
    keyId: 'client-key',
    scopes: [...scopes, 'okta.logs.read', 'okta.orgs.read'],
  };
  await story('SSWS', new okta.Client({ orgUrl, token: process.env.TOKEN }));
  await story('private_key_jwt with DPoP', new okta.Client({ ...key, clientId: process.env.DPOP_CLIENT }));
}

main();
