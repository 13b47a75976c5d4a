"""The task scheduler. In the world a task goes by its URI: path and name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.lab.world.hyperv.service import matches
from provisioner.lab.world.state import ScheduledTask
from provisioner.lab.world.tasks import BY_EVENTS, RUNNING
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.call import Call, Object, ShellError, made


def _uri(name: str, path: str) -> str:
    return "\\".join(["", *(part for part in path.split("\\") if part), name])


def _parts(uri: str) -> tuple[str, str]:
    """(name, path) of a task's URI; a task that somebody made without a path lies at the root."""
    path, _, name = uri.rpartition("\\")
    return name, path + "\\"


def _task(call: Call, around: Environment) -> ScheduledTask:
    """The task that the call names; not found reads as the scheduler's own HRESULT."""
    said: Mapping[str, Any] = call.get("InputObject") or {}
    name, path = said.get("TaskName", call.text("TaskName")), said.get("TaskPath", call.text("TaskPath", "\\"))
    found = around.world.tasks.get(_uri(str(name), str(path)))
    if found is None or not call.caller.administrator:  # a task of SYSTEM is not there for who is no administrator
        text = "The system cannot find the file specified."
        raise ShellError("HRESULT 0x80070002", "ObjectNotFound", text, _uri(str(name), str(path)))
    return found


def _task_object(task: ScheduledTask) -> Object:
    name, path = _parts(task.name)
    action = made("MSFT_TaskAction", {"Execute": task.command, "Arguments": task.arguments})
    return made(
        "MSFT_ScheduledTask",
        {
            "TaskName": name,
            "TaskPath": path,
            "URI": task.name,
            "State": "Running" if task.last_result == RUNNING else "Ready",
            "Description": "",
            "Actions": [action],
            "Principal": made("MSFT_TaskPrincipal", {"UserId": "SYSTEM", "RunLevel": "Highest"}),
        },
    )


# -- parts of a task


@behaviour("New-ScheduledTaskAction", "Execute Argument WorkingDirectory Id")
def new_action(call: Call, _around: Environment) -> None:
    said = {"Execute": call.text("Execute"), "Arguments": call.text("Argument"), "Id": call.text("Id")}
    call.out("MSFT_TaskAction", {**said, "WorkingDirectory": call.text("WorkingDirectory")})


@behaviour("New-ScheduledTaskPrincipal", "UserId GroupId LogonType RunLevel Id")
def new_principal(call: Call, _around: Environment) -> None:
    said = {name: call.text(name) for name in ("UserId", "GroupId", "Id")}
    levels = {"LogonType": call.text("LogonType", "None"), "RunLevel": call.text("RunLevel", "Limited")}
    call.out("MSFT_TaskPrincipal", {**said, **levels})


@behaviour(
    "New-ScheduledTaskSettingsSet",
    "AllowStartIfOnBatteries DontStopIfGoingOnBatteries ExecutionTimeLimit StartWhenAvailable Hidden Priority"
    " MultipleInstances Compatibility RestartCount RestartInterval",
)
def new_settings(call: Call, _around: Environment) -> None:
    call.out(
        "MSFT_TaskSettings",
        {
            "DisallowStartIfOnBatteries": not call.switch("AllowStartIfOnBatteries"),
            "StopIfGoingOnBatteries": not call.switch("DontStopIfGoingOnBatteries"),
            "ExecutionTimeLimit": f"PT{int(call.get('ExecutionTimeLimit', 72 * 3600))}S",
            "StartWhenAvailable": call.switch("StartWhenAvailable"),
            "Hidden": call.switch("Hidden"),
            "Priority": call.get("Priority", 7),
            "MultipleInstances": call.text("MultipleInstances", "IgnoreNew"),
        },
    )


@behaviour("New-ScheduledTaskTrigger", "Once Daily AtStartup At DaysInterval")
def new_trigger(call: Call, _around: Environment) -> None:
    said = {"Enabled": True, "Kind": call.set_name, "StartBoundary": call.text("At")}
    call.out("MSFT_TaskTrigger", said)


# -- tasks


@behaviour(
    "Register-ScheduledTask", "TaskName TaskPath Action Trigger Settings User RunLevel Principal Description Force"
)
def register(call: Call, around: Environment) -> None:
    """One action, run as SYSTEM; it starts when somebody starts it: the lab has no calendar."""
    uri = _uri(call.text("TaskName"), call.text("TaskPath"))
    user = str((call.get("Principal") or {}).get("UserId") or call.text("User"))
    if user.upper() not in ("S-1-5-18", "SYSTEM", "NT AUTHORITY\\SYSTEM"):
        raise ShellError("NotModelled", "NotImplemented", "The lab runs tasks as SYSTEM only.", uri, terminating=True)
    if around.world.tasks.get(uri) is not None and not call.switch("Force"):
        text = "Cannot create a file when that file already exists."
        raise ShellError("HRESULT 0x800700b7", "ResourceExists", text, uri)
    action = call.items("Action")[0]
    if not call.caller.administrator:
        raise ShellError("HRESULT 0x80070005", "PermissionDenied", "Access is denied.", uri)
    if call.should(uri):
        task = around.world.tasks.register(uri, str(action["Execute"]), str(action.get("Arguments") or ""))
        call.wire.say("out", _task_object(task))


@behaviour("Get-ScheduledTask", "TaskName TaskPath")
def get_task(call: Call, around: Environment) -> None:
    names, paths = call.items("TaskName") or ["*"], call.items("TaskPath") or ["*"]
    with around.kernel.lock:
        tasks = list(around.host.tasks.values()) if call.caller.administrator else []
    for wanted in names:
        found = [
            task
            for task in tasks
            if matches(wanted, _parts(task.name)[0]) and any(matches(path, _parts(task.name)[1]) for path in paths)
        ]
        if not found and "*" not in wanted:
            text = f"No MSFT_ScheduledTask objects found with property 'TaskName' equal to '{wanted}'."
            call.error(ShellError("CmdletizationQuery_NotFound_TaskName", "ObjectNotFound", text, wanted))
        for task in found:
            call.wire.say("out", _task_object(task))


@behaviour("Get-ScheduledTaskInfo", "TaskName TaskPath InputObject")
def get_task_info(call: Call, around: Environment) -> None:
    task = _task(call, around)
    name, path = _parts(task.name)
    call.out("MSFT_TaskDynamicInfo", {"TaskName": name, "TaskPath": path, "LastTaskResult": task.last_result})


@behaviour("Start-ScheduledTask", "TaskName TaskPath InputObject")
def start_task(call: Call, around: Environment) -> None:
    task = _task(call, around)
    if around.world.tasks.start(task.name) and task.command != BY_EVENTS:
        around.run_task(task)


@behaviour("Stop-ScheduledTask", "TaskName TaskPath InputObject")
def stop_task(call: Call, around: Environment) -> None:
    around.end_task(_task(call, around).name)


@behaviour("Unregister-ScheduledTask", "TaskName TaskPath InputObject")
def unregister(call: Call, around: Environment) -> None:
    if "InputObject" in call:
        found = [_uri(str(said["TaskName"]), str(said["TaskPath"])) for said in call.items("InputObject")]
    else:
        paths = call.items("TaskPath") or ["\\"]
        found = [_uri(str(name), str(path)) for name in call.items("TaskName") for path in paths]
    for uri in found:
        if around.world.tasks.get(uri) is None:
            text = f"No MSFT_ScheduledTask objects found with property 'TaskName' equal to '{_parts(uri)[0]}'."
            raise ShellError("CmdletizationQuery_NotFound_TaskName", "ObjectNotFound", text, _parts(uri)[0])
        if call.should(uri):
            around.world.tasks.unregister(uri)
