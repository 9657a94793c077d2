// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Peered} from "./base/Peered.sol";
import {Drawing} from "./interfaces/IBeacon.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers} from "./interfaces/IMembers.sol";
import {IQuality, Probe, QualityRecord, Reported} from "./interfaces/IQuality.sol";
import {Probes} from "./libraries/Probes.sol";
import {QualityClause} from "./libraries/QualityClause.sol";
import {Rules} from "./libraries/RuleSet.sol";
import {StatusTable} from "./libraries/StatusTable.sol";
import {MemberStatus} from "./types/Types.sol";

/// @notice Probe reports and records of quality. See IQuality.
///
/// A report is one word, with its epoch in it, in a place that the reports of each epoch use again: those whose epoch is not
/// the newest are left over from before. A record is half a word and stays: settlements may come late. Reports that a
/// superseded contract still takes matter to nobody, so that it does not ask whether it is one.
contract Quality is IQuality, Peered {
    using QualityClause for bytes32;
    using StatusTable for MemberStatus;

    /// @dev The largest committee is 16 on average.
    uint256 private constant MAX_REPORTS = 32;
    uint256 private constant LEAST_REPORTS = 3;
    uint256 private constant MAX_RANGE = 256;
    uint256 private constant EPOCH_SHIFT = 224;
    uint256 private constant MEMBER_SHIFT = 192;
    uint256 private constant TAG_SHIFT = 104;

    /// @dev Who reports, and what its draws depend on.
    struct Prober {
        uint32 member;
        uint32 epoch;
        bytes32 entity;
        Drawing drawing;
        uint256 committee;
    }

    mapping(uint32 provider => uint256[MAX_REPORTS]) private _reports;
    /// @dev Two epochs a word.
    mapping(uint32 provider => mapping(uint256 pair => uint256)) private _records;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IQuality
    function report(uint32 epoch, Probe[] calldata probes) external override {
        IMembers members = _members();
        Prober memory prober = _prober(members, epoch);
        for (uint256 i = 0; i < probes.length; ++i) {
            _report(members, prober, probes[i]);
        }
    }

    /// @inheritdoc IQuality
    function recordOf(uint32 provider, uint32 epoch) public view override returns (QualityRecord memory) {
        uint256 record = _record(provider, epoch);
        return QualityRecord(Probes.unpack(record), uint8(Probes.reportsIn(record)));
    }

    /// @inheritdoc IQuality
    function recordsOf(uint32 provider, uint32 from, uint32 to)
        external
        view
        override
        returns (QualityRecord[] memory records)
    {
        _checkRange(from, to);
        records = new QualityRecord[](to - from);
        for (uint32 epoch = from; epoch < to; ++epoch) {
            records[epoch - from] = recordOf(provider, epoch);
        }
    }

    /// @inheritdoc IQuality
    function reportsOn(uint32 provider) external view override returns (uint32 epoch, Reported[] memory shown) {
        epoch = uint32(_reports[provider][0] >> EPOCH_SHIFT);
        uint256 number = 0;
        while (number < MAX_REPORTS && _isOf(_reports[provider][number], epoch)) {
            ++number;
        }
        shown = new Reported[](number);
        uint256[] memory reports = _list(provider, number);
        uint256 record = _record(provider, epoch);
        uint256 far = Probes.reportsIn(record) == 0 ? 0 : Probes.outliers(reports, record);
        for (uint256 i = 0; i < number; ++i) {
            shown[i] = Reported(uint32(reports[i] >> MEMBER_SHIFT), Probes.unpack(reports[i]), (far >> i) & 1 == 1);
        }
    }

    /// @inheritdoc IQuality
    function shortfalls(uint32 provider, uint32 from, uint32 to, bytes32 clause)
        external
        view
        override
        returns (uint256 bits)
    {
        _checkRange(from, to);
        uint256 word;
        for (uint32 epoch = from; epoch < to; ++epoch) {
            if (epoch == from || epoch & 1 == 0) word = _records[provider][epoch >> 1];
            if (clause.isShort(Probes.recordIn(word, epoch))) bits |= 1 << (epoch - from);
        }
    }

    /// @dev Who reports, and what its draws of that epoch depend on. Half of the next epoch is long enough to report in, and
    /// over before Clearing settles.
    function _prober(IMembers members, uint32 epoch) private view returns (Prober memory prober) {
        uint32 current = currentEpoch();
        if (uint256(epoch) + 1 != current || block.timestamp >= _halfTime()) revert ReportsClosed(epoch, current);
        (uint32 member, MemberStatus status,) = members.authority(msg.sender);
        if (member == 0) revert NotAMember(msg.sender);
        if (!status.writes()) revert StatusForbids(member, status);
        Drawing memory drawing = _beacon().drawingOf(member, epoch);
        if (drawing.lastBeat != current) revert BeatFirst(member, drawing.lastBeat, current);
        if (drawing.since > epoch) revert OnionTooNew(member, drawing.since, epoch);
        if (drawing.active == 0) revert NoSeed(epoch);
        (Rules rules,) = directory.rulesAt(epoch);
        prober.member = member;
        prober.epoch = epoch;
        prober.entity = members.entityOf(member);
        prober.drawing = drawing;
        prober.committee = rules.committee();
    }

    function _report(IMembers members, Prober memory prober, Probe calldata probe) private {
        (uint32 epoch, uint32 provider) = (prober.epoch, probe.provider);
        if (probe.figures.availability > 100) revert BadAvailability(provider, probe.figures.availability);
        bytes32 entity = members.entityOf(provider);
        if (entity == 0) revert UnknownProvider(provider);
        if (entity == prober.entity) revert OwnEntity(prober.member, provider);
        Drawing memory drawing = prober.drawing;
        if (!Probes.drawn(drawing.seed, drawing.link, provider, drawing.active, prober.committee)) {
            revert NotDrawn(epoch, prober.member, provider);
        }
        uint256[MAX_REPORTS] storage reports = _reports[provider];
        uint256 tag = uint88(uint256(prober.entity));
        uint256 number = 0;
        for (uint256 word = reports[0]; _isOf(word, epoch); word = reports[number]) {
            if (uint88(word >> TAG_SHIFT) == tag) revert EntityReported(epoch, provider, prober.member);
            if (++number == MAX_REPORTS) revert CommitteeFull(epoch, provider);
        }
        reports[number] = uint256(epoch) << EPOCH_SHIFT | uint256(prober.member) << MEMBER_SHIFT | tag << TAG_SHIFT
            | Probes.pack(probe.figures);
        emit ProbeReported(epoch, provider, prober.member, probe.figures);
        if (++number >= LEAST_REPORTS) _writeRecord(provider, epoch, _list(provider, number));
    }

    function _writeRecord(uint32 provider, uint32 epoch, uint256[] memory reports) private {
        uint256 record = Probes.median(reports);
        _records[provider][epoch >> 1] = Probes.withRecord(_records[provider][epoch >> 1], epoch, record);
        emit QualityRecorded(
            epoch, provider, Probes.unpack(record), uint8(reports.length), Probes.outliers(reports, record)
        );
    }

    /// @dev The newest epoch's first reports on a provider.
    function _list(uint32 provider, uint256 number) private view returns (uint256[] memory reports) {
        reports = new uint256[](number);
        for (uint256 i = 0; i < number; ++i) {
            reports[i] = _reports[provider][i];
        }
    }

    function _record(uint32 provider, uint32 epoch) private view returns (uint256) {
        return Probes.recordIn(_records[provider][epoch >> 1], epoch);
    }

    /// @dev No report is about epoch 0, which has no seed.
    function _isOf(uint256 word, uint32 epoch) private pure returns (bool) {
        return word >> EPOCH_SHIFT == epoch && epoch != 0;
    }

    function _checkRange(uint32 from, uint32 to) private pure {
        if (from > to || to - from > MAX_RANGE) revert BadRange(from, to);
    }
}
