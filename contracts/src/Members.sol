// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Peered} from "./base/Peered.sol";
import {Signed} from "./base/Signed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers, MemberView, NodeView} from "./interfaces/IMembers.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {Enrolment, MemberStatus, Offer, Revocation} from "./types/Types.sol";

/// @notice Who is a member and which node keys act for whom. See IMembers.
contract Members is IMembers, Signed, AccessControl {
    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");

    uint256 private constant MAX_NODES = 256;
    uint256 private constant MAX_CERTIFICATE = 4096;
    uint256 private constant MAX_ENDPOINT = 256;
    uint256 private constant MAX_SITE = 64;
    uint256 private constant MAX_NAME = 128;
    /// @dev How far an account's clock may run ahead of the chain's.
    uint256 private constant CLOCK_SLACK = 1 days;

    struct Member {
        address account;
        MemberStatus status;
        bytes2 jurisdiction;
        uint64 exclusiveSince;
        bytes32 legalEntity;
        string name;
        Offer offer;
        address[] nodes;
    }

    struct Node {
        uint32 member;
        bool revoked;
        uint64 issuedAt;
        uint64 expiresAt;
        uint64 spendingLimit;
        bytes certificate;
        string endpoint;
        string site;
    }

    /// @inheritdoc IMembers
    uint64 public override generation;
    /// @inheritdoc IMembers
    uint32 public override count;
    /// @inheritdoc IMembers
    mapping(address account => uint32) public override memberOfAccount;

    mapping(uint32 id => Member) private _member;
    mapping(address key => Node) private _node;

    modifier known(uint32 member) {
        if (member == 0 || member > count) revert UnknownMember(member);
        _;
    }

    constructor(IDirectory directory) Peered(directory) {
        address operator = Ownable(address(directory)).owner();
        _grantRole(DEFAULT_ADMIN_ROLE, operator);
        _grantRole(OPERATOR_ROLE, operator);
    }

    /// @inheritdoc IMembers
    function admit(address account, bytes32 legalEntity, bytes2 jurisdiction, string calldata name)
        external
        override
        onlyRole(OPERATOR_ROLE)
        returns (uint32 id)
    {
        _requireUnused(account);
        _requireShort("name", bytes(name).length, MAX_NAME);
        id = ++count;
        Member storage member = _member[id];
        member.account = account;
        member.status = MemberStatus.ACTIVE;
        member.legalEntity = legalEntity;
        member.jurisdiction = jurisdiction;
        member.name = name;
        memberOfAccount[account] = id;
        ++generation;
        emit MemberAdmitted(id, account, legalEntity, jurisdiction, name);
    }

    /// @inheritdoc IMembers
    function suspend(uint32 member) external override onlyRole(OPERATOR_ROLE) {
        _changeStatus(member, MemberStatus.ACTIVE, MemberStatus.SUSPENDED);
        emit MemberSuspended(member);
    }

    /// @inheritdoc IMembers
    function reinstate(uint32 member) external override onlyRole(OPERATOR_ROLE) {
        _changeStatus(member, MemberStatus.SUSPENDED, MemberStatus.ACTIVE);
        emit MemberReinstated(member);
    }

    /// @inheritdoc IMembers
    function enrol(
        Enrolment calldata enrolment,
        bytes calldata certificate,
        string calldata endpoint,
        string calldata site,
        bytes calldata signature
    ) external override {
        uint32 id = _checkEnrolment(enrolment, certificate, signature);
        Member storage member = _member[id];
        if (enrolment.exclusive) {
            _revokeIssuedUntil(id, member, enrolment.issuedAt);
            member.exclusiveSince = enrolment.issuedAt;
        }
        if (member.nodes.length == MAX_NODES) revert TooManyNodes(id, MAX_NODES);
        member.nodes.push(enrolment.node);
        Node storage node = _node[enrolment.node];
        node.member = id;
        node.issuedAt = enrolment.issuedAt;
        node.expiresAt = enrolment.expiresAt;
        node.spendingLimit = enrolment.spendingLimit;
        node.certificate = certificate;
        _place(node, endpoint, site);
        _emitEnrolled(id, enrolment, endpoint, site);
    }

    /// @inheritdoc IMembers
    function revoke(address node) external override {
        uint32 member = _node[node].member;
        if (member == 0) revert UnknownNode(node);
        if (memberOfAccount[msg.sender] != member) revert NotTheAccount(member, msg.sender);
        _revoke(node);
    }

    /// @inheritdoc IMembers
    function revokeBySig(Revocation calldata revocation, bytes calldata signature) external override {
        _requireKnown(revocation.version, revocation.extension);
        uint32 member = _node[revocation.node].member;
        if (member == 0) revert UnknownNode(revocation.node);
        address account = _member[member].account;
        address signer = _recover(_digest(TypedData.hash(revocation)), signature);
        if (signer != account) revert BadSignature(account, signer);
        _revoke(revocation.node);
    }

    /// @inheritdoc IMembers
    function announce(string calldata endpoint, string calldata site) external override {
        Node storage node = _node[msg.sender];
        if (!_isLive(node)) revert NotAMember(msg.sender);
        _place(node, endpoint, site);
        emit NodeAnnounced(node.member, msg.sender, endpoint, site);
    }

    /// @inheritdoc IMembers
    function publishOffer(Offer calldata offer) external override {
        uint32 member = memberOf(msg.sender);
        if (member == 0) revert NotAMember(msg.sender);
        if (_member[member].status != MemberStatus.ACTIVE) revert MemberIsSuspended(member);
        _member[member].offer = offer;
        ++generation;
        emit OfferPublished(member, msg.sender, offer);
    }

    /// @inheritdoc IMembers
    function memberOf(address key) public view override returns (uint32) {
        Node storage node = _node[key];
        return _isLive(node) ? node.member : memberOfAccount[key];
    }

    /// @inheritdoc IMembers
    function spendingLimitOf(address key) external view override returns (uint256) {
        if (memberOfAccount[key] != 0) return type(uint256).max;
        return _isLive(_node[key]) ? _node[key].spendingLimit : 0;
    }

    /// @inheritdoc IMembers
    function statusOf(uint32 member) external view override returns (MemberStatus) {
        return _member[member].status;
    }

    /// @inheritdoc IMembers
    function accountOf(uint32 member) external view override returns (address) {
        return _member[member].account;
    }

    /// @inheritdoc IMembers
    function offerOf(uint32 member) external view override returns (Offer memory) {
        return _member[member].offer;
    }

    /// @inheritdoc IMembers
    function roster(uint32 from, uint32 number) external view override returns (MemberView[] memory views) {
        uint256 first = from == 0 ? 1 : from;
        uint256 end = first + number > uint256(count) + 1 ? uint256(count) + 1 : first + number;
        if (first >= end) return views;
        views = new MemberView[](end - first);
        for (uint256 id = first; id < end; ++id) {
            _fill(views[id - first], uint32(id));
        }
    }

    function _fill(MemberView memory filled, uint32 id) private view {
        Member storage member = _member[id];
        filled.id = id;
        filled.account = member.account;
        filled.status = member.status;
        filled.legalEntity = member.legalEntity;
        filled.jurisdiction = member.jurisdiction;
        filled.name = member.name;
        filled.offer = member.offer;
        filled.nodes = new NodeView[](member.nodes.length);
        for (uint256 i = 0; i < member.nodes.length; ++i) {
            address key = member.nodes[i];
            Node storage node = _node[key];
            filled.nodes[i] = NodeView(key, node.certificate, node.endpoint, node.site, node.expiresAt, node.revoked);
        }
    }

    function _checkEnrolment(Enrolment calldata enrolment, bytes calldata certificate, bytes calldata signature)
        private
        view
        returns (uint32 id)
    {
        _requireKnown(enrolment.version, enrolment.extension);
        id = memberOfAccount[enrolment.account];
        if (id == 0) revert UnknownAccount(enrolment.account);
        address signer = _recover(_digest(TypedData.hash(enrolment)), signature);
        if (signer != enrolment.account) revert BadSignature(enrolment.account, signer);
        _requireUnused(enrolment.node);
        _requireShort("certificate", certificate.length, MAX_CERTIFICATE);
        bytes32 hashed = sha256(certificate);
        if (hashed != enrolment.certificateHash) revert CertificateMismatch(enrolment.certificateHash, hashed);
        if (enrolment.expiresAt <= block.timestamp) revert EnrolmentExpired(enrolment.expiresAt, block.timestamp);
        if (enrolment.issuedAt > block.timestamp + CLOCK_SLACK) {
            revert IssuedInFuture(enrolment.issuedAt, block.timestamp);
        }
        uint64 since = _member[id].exclusiveSince;
        if (enrolment.issuedAt < since) revert EnrolmentSuperseded(enrolment.issuedAt, since);
    }

    function _emitEnrolled(uint32 id, Enrolment calldata enrolment, string calldata endpoint, string calldata site)
        private
    {
        emit NodeEnrolled(
            id,
            enrolment.node,
            enrolment.certificateHash,
            enrolment.issuedAt,
            enrolment.expiresAt,
            enrolment.spendingLimit,
            enrolment.exclusive,
            endpoint,
            site
        );
    }

    function _place(Node storage node, string calldata endpoint, string calldata site) private {
        _requireShort("endpoint", bytes(endpoint).length, MAX_ENDPOINT);
        _requireShort("site", bytes(site).length, MAX_SITE);
        node.endpoint = endpoint;
        node.site = site;
        ++generation;
    }

    function _revoke(address key) private {
        Node storage node = _node[key];
        if (node.revoked) revert AlreadyRevoked(key);
        node.revoked = true;
        ++generation;
        emit NodeRevoked(node.member, key);
    }

    function _revokeIssuedUntil(uint32 id, Member storage member, uint64 issuedAt) private {
        for (uint256 i = 0; i < member.nodes.length; ++i) {
            Node storage node = _node[member.nodes[i]];
            if (node.revoked || node.issuedAt > issuedAt) continue;
            node.revoked = true;
            emit NodeRevoked(id, member.nodes[i]);
        }
    }

    function _changeStatus(uint32 member, MemberStatus from, MemberStatus to) private known(member) {
        MemberStatus status = _member[member].status;
        if (status != from) revert WrongStatus(member, status);
        _member[member].status = to;
        ++generation;
    }

    function _isLive(Node storage node) private view returns (bool) {
        return node.member != 0 && !node.revoked && node.expiresAt > block.timestamp;
    }

    function _requireUnused(address given) private view {
        if (given == address(0)) revert BadAddress();
        uint32 taken = memberOfAccount[given] != 0 ? memberOfAccount[given] : _node[given].member;
        if (taken != 0) revert AddressTaken(given, taken);
    }

    function _requireShort(string memory field, uint256 length, uint256 limit) private pure {
        if (length > limit) revert TooLong(field, length, limit);
    }
}
