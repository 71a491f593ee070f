// AG-UI's HttpAgent. Its one way back is the same request again.

export async function agui({ client, base, token, conversation }, tell) {
  const { HttpAgent } = await import(client);
  const agent = new HttpAgent({ url: `${base}/agui`, headers: { authorization: `Bearer ${token}` }, threadId: conversation });
  const textOf = (m) => (typeof m?.content === 'string' ? m.content : '');
  const last = () => agent.messages.filter((m) => m.role === 'assistant').at(-1);
  let runId;
  const run = async () => {
    let status = 'ready';
    let message = '';
    let stopped = false;
    try {
      await agent.runAgent({ runId }, {
        onTextMessageContentEvent: ({ event, textMessageBuffer }) => tell({ event: 'text', length: textMessageBuffer.length + event.delta.length }),
        onCustomEvent: ({ event: { name, value } }) => {
          if (name === 'feedback' || name === 'objective') tell({ event: 'fact', id: value.id, message: name, text: JSON.stringify(value) });
          else tell({ event: name, ...value });
        },
        onRunErrorEvent: ({ event }) => { status = 'error'; message = `${event.message} (${event.code})`; },
        onRunFinishedEvent: ({ result, event }) => { stopped = (result ?? event?.result)?.stopped === true; },
      });
    } catch (e) {
      status = 'error';
      message = String(e?.message ?? e);
    }
    tell({ event: 'ended', status, message, stopped, text: textOf(last()), id: last()?.id ?? '', parts: 1, messages: agent.messages.length, streaming: false });
  };
  return {
    send: ({ id, text }) => {
      runId = `run-${id}`;
      agent.addMessage({ id, role: 'user', content: text });
      return run();
    },
    resume: run,
    stop: async () => {
      const res = await fetch(`${new URL(agent.url).origin}/api/chat/${conversation}/stop`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
      tell({ event: 'stopped', code: res.status });
    },
    move: (cmd) => { agent.url = `${cmd.base}/agui`; },
  };
}
